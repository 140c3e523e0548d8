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


FOLLOWED = """
import asyncio, os, sys
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from hostler import Directories, PluginSpec, ServerSpec, Supervisor, hookimpl

MAIN = os.getpid()

def tell(who):
    where = "parent" if os.getpid() == MAIN else "child"
    os.write(1, f"{who}: {where}\\n".encode())

@dataclass(eq=False)
class Follower:
    @hookimpl
    async def pre_spawn(self, server):
        server.start_soon(partial(self.follow, server), over_restarts=True)

    async def follow(self, server):
        async for _ in server.events():
            pass
        tell("follower")

class Listener:
    async def listen(self, events, context):
        async for _ in events:
            pass
        tell("listener")

async def main(folder):
    plugins = (PluginSpec("follower", instance=Follower()),)
    spec = ServerSpec(name="one", command=("sleep", "1000"), port=None, plugins=plugins)
    directories = Directories(folder / "state", folder / "data", folder / "cache")
    async with Supervisor(spec, directories=directories, listeners={"all": Listener()}) as supervisor:
        await supervisor.wait_ready()
        loop = asyncio.get_running_loop()
        over = loop.create_future()
        loop.call_later(0.3, over.set_result, None)
        pid = os.fork()
        if pid:
            os.waitpid(pid, 0)
        else:
            await over  # asyncio.sleep refuses to work in a forked child

asyncio.run(main(Path(sys.argv[1])))
"""


def test_what_follows_events_in_the_parent_does_not_end_once_more_in_its_child(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", FOLLOWED, str(tmp_path)]
    done = subprocess.run(argv, capture_output=True, text=True, timeout=60, check=False)
    assert sorted(done.stdout.split("\n")) == ["", "follower: parent", "listener: parent"], done.stderr
