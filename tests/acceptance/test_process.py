"""Processes: started, watched, ended, and nothing left, whatever ends hostler."""

from __future__ import annotations

import ast
import importlib
import os
import signal
import sys
from pathlib import Path

import anyio
import hostler
import psutil
import pytest
from cli_project import NOTHING, Freezer, Project, eventually
from hostler import ForceKillTimeout, StartupTimeout, State


@pytest.mark.requirement("R2")
@pytest.mark.parametrize("stream", ["stdout", "stderr"])
@pytest.mark.parametrize("mode", ["capture", "inherit", "ignore"])
def test_each_stream_is_captured_inherited_or_ignored(mode: str, stream: str, world: Project) -> None:
    program = f"import sys, time; print('some words', file=sys.{stream}, flush=True); time.sleep(300)"
    table = {"command": [sys.executable, "-c", program], "port": False, stream: mode}
    file = world.configure(worker=table | {"plugins": {"log-rotation": {"path": "worker.log"}}})
    command = world.hostler("run", file)
    pid = int(command.line(r"started").partition("pid ")[2].partition(",")[0])

    if mode == "ignore":
        number = 1 if stream == "stdout" else 2
        assert str(Path(f"/proc/{pid}/fd/{number}").readlink()) == "/dev/null"
    elif mode == "inherit":
        command.line("^some words$")
    else:
        eventually(lambda: "some words" in world.logged("worker.log"))

    assert command.stop(signal.SIGINT) == 0
    assert ("some words" in (command.out if stream == "stdout" else command.err)) is (mode == "inherit")
    assert ("some words" in world.logged("worker.log")) is (mode == "capture")


@pytest.mark.requirement("R3")
async def test_a_zombie_does_not_live(world: Project) -> None:
    async with world.supervisor(world.fake("--exit-on-stop", "1")) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        pid = server.pid
        assert pid is not None
        os.kill(pid, signal.SIGTERM)
        # This holds up the loop: nothing has told of the exit.
        eventually(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
        eventually(lambda: not server.usable)  # a moment later, when its last thread has gone
        await server.wait_ready(20)
        assert server.pid != pid


@pytest.mark.requirement("R3")
async def test_a_server_that_is_being_killed_is_not_ready(world: Project, freezer: Freezer) -> None:
    async with world.supervisor(world.fake()) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        pid = server.pid
        assert pid is not None
        freezer.freeze(pid)
        os.kill(pid, signal.SIGKILL)
        with pytest.raises(StartupTimeout):
            await server.wait_ready(0.2)
        freezer.thaw()
        await server.wait_ready(20)
        assert server.pid != pid


@pytest.mark.requirement("R28")
async def test_what_outlives_sigkill_is_told_by_pid(world: Project, freezer: Freezer) -> None:
    async with world.supervisor(
        world.fake("--print-error", "words on stderr", force_kill_timeout="200ms")
    ) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        assert server.pid is not None
        freezer.freeze(server.pid)
        with pytest.raises(ForceKillTimeout) as caught:
            await server.stop()
        context = caught.value.context
        assert context.details["pids"] == [server.pid]
        assert "words on stderr" in context.stderr
        assert server.state is State.STOPPING
        freezer.thaw()
        with anyio.fail_after(20):
            await server.wait_stopped()

    assert world.what_is_left() == NOTHING


PROGRAM = """
import asyncio, sys
import hostler

async def main(file, how):
    supervisor = hostler.Supervisor(hostler.load(file))
    async with supervisor:
        await supervisor["fake"].wait_ready(20)
        print("ready", flush=True)
        if how == "exception":
            raise RuntimeError("of the program itself")
        if how == "exit":
            sys.exit(3)
        if how == "abandoned":
            asyncio.get_running_loop().stop()
            await asyncio.sleep(60)

def blocking(file):
    with hostler.serve(file) as servers:
        servers["fake"].wait_ready(20)
        assert servers["fake"].state is hostler.State.RUNNING
        print("ready", flush=True)
        raise KeyboardInterrupt

def forgotten(file):
    supervisor = hostler.Supervisor(hostler.load(file))
    loop = asyncio.new_event_loop()
    loop.run_until_complete(supervisor.__aenter__())
    loop.run_until_complete(supervisor["fake"].wait_ready(20))
    print("ready", flush=True)

if sys.argv[2] == "blocking":
    blocking(sys.argv[1])
elif sys.argv[2] == "forgotten":
    forgotten(sys.argv[1])
else:
    asyncio.run(main(sys.argv[1], sys.argv[2]))
"""


@pytest.mark.requirement("R5", "R48")
@pytest.mark.parametrize(
    ("how", "code"), [("exception", 1), ("exit", 3), ("abandoned", 1), ("blocking", -signal.SIGINT)]
)
def test_nothing_stays_when_a_program_ends_without_saying_goodbye(
    how: str, code: int, world: Project
) -> None:
    file = world.fake("--spawn-session-child", "--double-fork-child")
    program = world.write(PROGRAM, "program.py")
    command = world.start([sys.executable, str(program), str(file), how])
    assert command.end() == code, command.err
    assert command.out == ["ready"]
    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R5")
def test_a_program_that_forgets_its_servers_takes_them_with_it_at_its_exit(world: Project) -> None:
    file = world.fake("--spawn-session-child", "--double-fork-child")
    program = world.write(PROGRAM, "program.py")
    command = world.start([sys.executable, str(program), str(file), "forgotten"])
    assert command.end() == 0, command.err
    assert command.out == ["ready"]
    assert world.processes() == {}
    # Without its loop nobody removes the lock's file; nobody holds it, and the next start takes it.
    assert [name for name in world.records() if not name.endswith(".lock")] == []


@pytest.mark.requirement("R6")
def test_what_a_killed_hostler_left_behind_is_removed_by_the_next_start(world: Project) -> None:
    file = world.fake("--spawn-session-child", "--children-ignore-term")
    command = world.hostler("run", file, "--json")
    server = command.event(event="state", state="running")["pid"]
    assert str(server) in "".join(path.read_text() for path in world.directories.state.rglob("*.json"))
    (child,) = (pid for pid in world.processes() if pid != server)
    assert command.stop(signal.SIGKILL) == -signal.SIGKILL

    eventually(lambda: list(world.processes()) == [child], timeout=2)
    again = world.hostler("run", file, "--json")
    notice = again.event(event="notice", topic="orphans_removed")
    assert notice["details"]["pids"] == [child]
    again.event(event="state", state="running")
    assert child not in world.processes()
    assert again.stop(signal.SIGTERM) == 0
    assert world.what_is_left() == NOTHING


def other_system_lines() -> dict[Path, list[str]]:
    """The lines that the tests do not run, by file."""
    root = Path(hostler.__file__).parent
    found: dict[Path, list[str]] = {}
    for file in root.rglob("*.py"):
        lines = [line for line in file.read_text().splitlines() if "pragma: other-system" in line]
        if lines:
            found[file.relative_to(root)] = lines
    return found


@pytest.mark.requirement("R7")
def test_what_differs_between_systems_is_marked_and_only_where_processes_are() -> None:
    lines = other_system_lines()
    assert {"process/spawn/exits.py", "process/tree/process_table.py", "process/net/ownership.py"} <= {
        str(path) for path in lines
    }
    assert all(path.parts[0] == "process" for path in lines)


@pytest.mark.requirement("R7")
def test_the_modules_of_both_systems_can_be_imported_and_ask_for_the_system() -> None:
    for path in other_system_lines():
        module = importlib.import_module("hostler." + ".".join(path.with_suffix("").parts))
        source = Path(module.__file__ or "").read_text()
        names = {node.attr for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Attribute)}
        assert "platform" in names or "psutil" in source or "OSError" in source
