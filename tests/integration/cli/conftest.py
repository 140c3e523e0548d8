"""Real `hostler` processes, in directories of the test's own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostler_process import HOSTLER, Configure, Done, Hostler, Run, Start, server_table


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """An environment with directories of the test's own."""
    own = {f"XDG_{kind.upper()}_HOME": str(tmp_path / kind) for kind in ("state", "data", "cache")}
    ours = {"PYTHONUNBUFFERED", "PYTEST_XDIST_WORKER"}  # a user's shell has neither
    inherited = {name: value for name, value in os.environ.items() if name not in ours}
    return inherited | own | {"PYTHONWARNINGS": "error"}


@pytest.fixture
def configure(tmp_path: Path) -> Configure:
    """Write ./hostler.toml with a fake server of these switches, or with the given text."""

    def write(*switches: str, text: str | None = None, **settings: str) -> Path:
        file = tmp_path / "hostler.toml"
        file.write_text(server_table(*switches, **settings) if text is None else text)
        return file

    return write


@pytest.fixture
def run(tmp_path: Path, environ: dict[str, str]) -> Run:
    """Run hostler to its end."""

    def call(*words: str, **options: Any) -> Done:
        given: dict[str, Any] = {"cwd": tmp_path, "env": environ, "timeout": 30} | options
        return subprocess.run([*HOSTLER, *words], capture_output=True, text=True, check=False, **given)

    return call


@pytest.fixture
def start(tmp_path: Path, environ: dict[str, str]) -> Iterator[Start]:
    """Start hostler and come back at once."""
    running: list[Hostler] = []

    def begin(*words: str, before: tuple[str, ...] = (), **options: Any) -> Hostler:
        given: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        given |= {"cwd": tmp_path, "env": environ, "text": True, "stdin": subprocess.DEVNULL} | options
        running.append(Hostler(subprocess.Popen([*before, *HOSTLER, *words], **given)))
        return running[-1]

    yield begin

    for hostler in running:
        if hostler.process.poll() is None:
            hostler.process.send_signal(signal.SIGTERM)
            try:
                hostler.process.wait(10)
            except subprocess.TimeoutExpired:
                hostler.process.kill()
        hostler.end()
        for stream in (hostler.process.stdout, hostler.process.stderr):
            if stream is not None:
                stream.close()
