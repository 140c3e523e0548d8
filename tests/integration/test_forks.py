"""The host program forks: its child owns nothing of the servers, ends as it likes, and is told so."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest
from cli_project import eventually
from hostler import Directories, PluginSpec, Supervisor, serve
from specs import MakeSpec, announced

PROGRAM = str(Path(__file__).parents[1] / "support" / "fork_program.py")


def start(host: str, child: str, folder: Path, guard: str = "") -> subprocess.Popen[str]:
    argv = [sys.executable, "-W", "error", PROGRAM, host, child, str(folder), guard]
    pipe = subprocess.PIPE
    return subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, start_new_session=True)


@pytest.mark.parametrize(
    ("host", "child", "status"),
    [
        ("serve", "exits", 5),
        ("serve", "raises", 1),
        ("serve", "leaves", 0),
        ("serve", "uses", 5),
        ("serve", "collects", 5),
        ("loop", "exits", 5),
        ("loop", "raises", 1),
        ("loop", "leaves", 0),
    ],
)
def test_a_forked_child_ends_as_it_likes_and_the_servers_of_its_parent_are_as_before(
    tmp_path: Path, host: str, child: str, status: int
) -> None:
    with start(host, child, tmp_path) as program:
        try:
            said, complaints = program.communicate(timeout=30)
        finally:
            program.kill()

    words = said.split()
    assert words[2:] == ["child", str(status), "well"], complaints
    assert ("hostler:" in complaints, "Exception ignored" in complaints) == (False, False), complaints
    assert program.returncode == 0
    assert [path for path in (tmp_path / "state").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("host", ["serve", "loop"])
async def test_a_forked_child_that_outlives_its_parent_holds_neither_lock_nor_watchdog(
    make_spec: MakeSpec, tmp_path: Path, host: str
) -> None:
    directories = Directories(tmp_path / "state", tmp_path / "data", tmp_path / "cache")

    with start(host, "outlives", tmp_path, "guard") as program:
        assert program.stdout is not None
        assert program.stdin is not None
        assert program.stdout.readline().startswith("ready")
        program.wait(20)
        (child,) = in_session(program.pid)
        try:
            eventually(lambda: not [one for one in marked_by(tmp_path) if one != child])

            spec = make_spec(plugins=(announced(), PluginSpec("log-rotation")))
            async with Supervisor(spec, directories=directories, namespace="host") as supervisor:
                await supervisor["fake"].wait_ready(20)
                assert in_session(program.pid) == [child]
        finally:
            program.stdin.close()


def test_a_child_that_lives_on_keeps_no_log_file_from_a_restart(
    make_spec: MakeSpec, directories: Directories
) -> None:
    with serve(
        make_spec(plugins=(announced(), PluginSpec("log-rotation"))), directories=directories
    ) as servers:
        servers["fake"].wait_ready(20)
        ear, bell = os.pipe()
        child = os.fork()
        if not child:
            os.close(bell)
            os.read(ear, 1)  # until the parent lets it end
            os._exit(0)
        try:
            servers["fake"].restart()
            servers["fake"].wait_ready(20)
        finally:
            os.close(bell)
            os.close(ear)
            os.waitpid(child, 0)


def in_session(leader: int) -> list[int]:
    return [pid for pid in psutil.pids() if _session(pid) == leader]


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except ProcessLookupError:
        return 0


def marked_by(folder: Path) -> list[int]:
    """The processes that work in this folder, as the server and what it has started do."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.status() != psutil.STATUS_ZOMBIE and process.cwd() == str(folder):
                found.append(process.pid)
        except psutil.Error:
            continue
    return found
