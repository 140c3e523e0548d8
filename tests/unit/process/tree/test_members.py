"""Which processes belong to a server."""

import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hostler.process.spawn.exits import ExitStatus
from hostler.process.tree.members import Member, find_tree
from hostler.process.tree.terminate import stop_tree
from process_trees import ESCAPES, IGNORES_SIGTERM
from run_marks import mark

Start = Callable[..., Any]
Gone = Callable[[int], bool]
PYTHON = (sys.executable, "-I", "-S", "-c")

MAIN_THREAD_ENDS = """
import ctypes, threading, time
threading.Thread(target=time.sleep, args=(60,)).start()
print("ready", flush=True)
ctypes.CDLL(None).pthread_exit(0)
"""


def pids(members: list[Member]) -> set[int]:
    return {member.pid for member in members}


def stat_fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def state_of(pid: int) -> str:
    return stat_fields(pid)[0]


async def wait_for_state(pid: int, state: str) -> None:
    with anyio.fail_after(10):
        while state_of(pid) != state:  # noqa: ASYNC110  (the kernel tells it to the parent alone)
            await anyio.sleep(0.005)


@pytest.mark.parametrize("switches", [(), ("close",), ("die",), ("close", "die")])
async def test_a_process_that_forked_twice_into_its_own_session_is_found_by_the_marker(
    start: Start, gone: Gone, switches: tuple[str, ...]
) -> None:
    child = start(*PYTHON, ESCAPES, *switches)
    escaped = int(await child.line())

    if "die" in switches:
        assert await child.process.wait() == ExitStatus(code=3)

    assert escaped in pids(find_tree(child.process))
    assert os.getsid(escaped) != child.pid
    assert await stop_tree(child.process, grace=5) == ()
    assert gone(escaped)
    assert find_tree(child.process) == []


async def test_a_child_that_cleared_its_environment_is_found_by_its_session(start: Start, gone: Gone) -> None:
    child = start("sh", "-c", "env -i sleep 60 & echo $!; exit 0")
    orphan = int(await child.line())
    await child.process.wait()

    assert pids(find_tree(child.process)) == {orphan}
    assert await stop_tree(child.process, grace=5) == ()
    assert gone(orphan)


async def test_a_child_in_its_own_session_without_marker_is_found_by_its_parent(
    start: Start, gone: Gone
) -> None:
    child = start("sh", "-c", "setsid env -i sh -c 'echo $$; sleep 60; :' & wait")
    inner = int(await child.line())
    with anyio.fail_after(5):
        while len(found := pids(find_tree(child.process))) < 3:  # noqa: ASYNC110  (nobody tells a fork)
            await anyio.sleep(0.01)
    assert {child.pid, inner} < found  # the third is its sleep
    assert await stop_tree(child.process, grace=5) == ()
    assert all(gone(pid) for pid in found)


async def test_those_known_before_the_first_signal_stay_known(start: Start, gone: Gone) -> None:
    # the parent dies at once and takes the only link to a child without marker with it
    code = "import os,sys; os.setsid(); print(os.getpid(), flush=True)\nimport time; " + IGNORES_SIGTERM
    child = start("sh", "-c", 'env -i "$@" & wait', "sh", *PYTHON, code)
    inner = int(await child.line())
    assert await child.line() == "ready"

    assert await stop_tree(child.process, grace=0.3) == ()
    assert child.process.exit_status == ExitStatus(signal=signal.SIGTERM)
    assert gone(inner)


async def test_a_process_whose_main_thread_has_ended_is_still_there(start: Start) -> None:
    child = start(*PYTHON, MAIN_THREAD_ENDS)
    assert await child.line() == "ready"
    await wait_for_state(child.pid, "Z")

    assert child.process.alive()
    assert pids(find_tree(child.process)) == {child.pid}
    assert await stop_tree(child.process, grace=10) == ()
    assert not child.process.alive()


async def test_zombies_are_no_members(start: Start) -> None:
    child = start("sh", "-c", "sleep 0 & echo $!; exec sleep 60")
    zombie = int(await child.line())
    await wait_for_state(zombie, "Z")

    assert pids(find_tree(child.process)) == {child.pid}


async def test_other_servers_and_we_ourselves_are_left_alone(start: Start) -> None:
    child, other = start("sleep", "60"), start("sleep", "60")

    assert pids(find_tree(child.process)) == {child.pid}
    assert await stop_tree(child.process, grace=5) == ()
    assert other.process.alive()


async def test_a_marker_inside_a_longer_one_is_not_taken_for_it(start: Start) -> None:
    child, other = start("sleep", "60", run_id="a"), start("sleep", "60", run_id=mark("a"))

    assert pids(find_tree(child.process)) == {child.pid}
    assert pids(find_tree(other.process)) == {other.pid}


async def test_a_nested_server_belongs_to_the_outer_one_too(start: Start) -> None:
    outer = start("sleep", "60", run_id="outer")
    inner = start("sleep", "60", run_id="inner", host_env={"HOSTLER_RUN_ID": mark("outer")})

    assert pids(find_tree(outer.process)) == {outer.pid, inner.pid}
    assert pids(find_tree(inner.process)) == {inner.pid}
