"""A client and a hostler in the background of two versions, each in an environment of its own."""

from __future__ import annotations

import json
import os
import pty
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from background_project import pid_of, servers, write
from hostler.version import __version__
from hostler_process import HOSTLER, Done, Run, server_table
from other_version import VERSION, install

DIFFERENT = f"the hostler in the background is {VERSION}, this is {__version__}"


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """The command of another version."""
    return install(tmp_path_factory.mktemp("other"))


@pytest.fixture
def run_other(project: Path, environ: dict[str, str], other: list[str]) -> Callable[..., Done]:
    """Run the other version to its end."""

    def call(*words: str) -> Done:
        return subprocess.run(
            [*other, *words],
            cwd=project,
            env=environ,
            capture_output=True,
            text=True,
            check=False,
            timeout=30,
        )

    return call


def at_a_terminal(project: Path, environ: dict[str, str], *words: str) -> tuple[str, str]:
    """What a command writes to stdout, and to stderr where that is a terminal."""
    ours, theirs = pty.openpty()
    try:
        argv = [*HOSTLER, *words]
        done = subprocess.run(
            argv, cwd=project, env=environ, stdout=subprocess.PIPE, stderr=theirs, text=True, check=True
        )
        os.write(theirs, b"END")
        text = b""
        while not text.endswith(b"END"):
            text += os.read(ours, 65536)
    finally:
        os.close(ours)
        os.close(theirs)
    return done.stdout, text.removesuffix(b"END").decode()


def test_an_older_one_in_the_background_is_told_used_and_replaced(
    project: Path, run: Run, run_other: Callable[..., Done], environ: dict[str, str]
) -> None:
    write(project, server_table())
    pid = pid_of(run_other("up", "--json"))

    row = servers(run)["fake"]
    assert row["novelty"] == "unheard of"
    assert (run("ps").stderr, run("wait").returncode, run("restart", "fake").returncode) == ("", 0, 0)
    stdout, stderr = at_a_terminal(project, environ, "ps")
    assert stderr.splitlines() == [f"{DIFFERENT}; hostler restart-daemon starts this one"]
    assert DIFFERENT not in stdout
    assert at_a_terminal(project, environ, "ps", "--json")[1] == ""
    assert at_a_terminal(project, environ, "ps", "--quiet")[1] == ""

    missing = run("up")
    assert missing.returncode == 5
    assert f"that hostler is {VERSION}, this is {__version__}: hostler restart-daemon" in missing.stderr
    problem = json.loads(run("up", "--json").stdout)["problem"]
    assert problem["type"] == "/problems/unsupported"
    assert pid_of(run("up", "--json", "--keep-environment")) == pid, "nobody ends it"

    assert run("restart-daemon").returncode == 0
    assert "novelty" not in servers(run)["fake"]
    assert at_a_terminal(project, environ, "ps")[1] == ""


def test_an_older_client_has_a_newer_one_work(
    project: Path, run: Run, run_other: Callable[..., Done]
) -> None:
    write(project, server_table())
    pid = pid_of(run("up", "--json"))
    assert run_other("ps").stdout.splitlines()[1].split()[:2] == ["fake", "running"]
    for words in (["stop", "fake"], ["start", "fake"], ["url", "fake"], ["wait"], ["events"]):
        done = run_other(*words)
        assert (done.returncode, done.stderr) == (0, ""), words
    assert pid_of(run_other("up", "--json")) == pid
    assert run_other("down").returncode == 0
