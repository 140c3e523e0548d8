"""Log files for tests of log-rotation, and children that write them."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hostler_plugins.log_rotation.sink import LogFile


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "web.log"


@pytest.fixture
def log(path: Path) -> Iterator[Callable[..., LogFile]]:
    """Opens log files, and closes them at the end."""
    logs: list[LogFile] = []

    def make(path: Path = path, **options: Any) -> LogFile:
        values: dict[str, Any] = {"max_size": 10_000_000, "keep": 5, "timestamps": False}
        logs.append(LogFile(path, **(values | options)))
        logs[-1].open()
        return logs[-1]

    yield make

    for one in logs:
        with contextlib.suppress(OSError):
            one.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a disk cannot be mounted here: {mounted.stderr.decode().strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # the log is closed a moment later
