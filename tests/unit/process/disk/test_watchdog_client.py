"""The watchdog: it ends what is listed when hostler is gone, nothing else, and is replaced when it dies."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import anyio
import psutil
import pytest
from hostler.errors import ProcessSpawnFailed
from hostler.process.disk import watchdog as program
from hostler.process.disk import watchdog_client as guard_module
from hostler.process.disk.watchdog_client import WatchdogClient
from hostler.process.tree.members import Member
from hostler.process.tree.table import MARKER
from run_marks import mark

Start: TypeAlias = Callable[..., Any]
Gone: TypeAlias = Callable[[int], bool]
Told: TypeAlias = list[tuple[str, str]]
PYTHON = (sys.executable, "-I", "-S", "-c")

# Prints the pids of one in a session of its own, and of one that left session, parent and environment.
ESCAPES = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(300)
    os._exit(0)
os.wait()
time.sleep(300)
"""

FORGETS_ITS_MARK = """
import os
print(os.getpid(), flush=True)
os.execve("/bin/sleep", ["sleep", "300"], {})
"""

# Leaves one behind that is linked by nothing but the session of the leader, and ends.
LEAVES_ONE_IN_ITS_SESSION = """
import os
if os.fork() == 0:
    os.setpgid(0, 0)
    print(os.getpid(), flush=True)
    os.execve("/bin/sleep", ["sleep", "300"], {})
"""


def watchdog_of(guard: WatchdogClient) -> int:
    assert guard.pid is not None
    return guard.pid


@asynccontextmanager
async def guarding() -> AsyncIterator[
    tuple[WatchdogClient, Told, Callable[[str, str, Mapping[str, object]], None]]
]:
    """A guard that is watched, what it tells, and the function that it tells it by."""
    guard = WatchdogClient()
    told: Told = []

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(guard.watch)

        try:
            yield guard, told, lambda topic, text, _: told.append((topic, text))
        finally:
            tasks.cancel_scope.cancel()
            guard.close()


def replaced(guard: WatchdogClient, pid: int) -> bool:
    return guard.pid not in {None, pid}


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - other processes tell no event
            await anyio.sleep(0.005)


# -- the program ----------------------------------------------------------------------------------


@contextmanager
def watchdog() -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A watchdog whose hostler is this process, and its wire."""
    ours, theirs = socket.socketpair()
    folder = Path(program.__file__).parents[3]
    argv = [sys.executable, "-I", "-S", program.__file__, str(os.getpid()), str(folder)]

    with ours, theirs, subprocess.Popen(argv, stdin=theirs.fileno(), start_new_session=True) as process:
        theirs.close()

        try:
            yield process, ours
        finally:
            process.kill()


async def test_at_the_end_of_the_wire_everything_listed_dies_and_the_watchdog_ends(
    start: Start, gone: Gone
) -> None:
    child = start(*PYTHON, ESCAPES, run_id=mark("guarded"))
    inner = int(await child.line())

    with watchdog() as (process, wire):
        wire.sendall(f"add {mark('guarded')} {child.pid} {child.process.start_time}\n".encode())
        wire.close()
        assert gone(child.pid)
        assert gone(inner)
        assert process.wait(10) == 0


async def test_a_run_that_was_not_spawned_yet_is_found_by_its_mark(start: Start, gone: Gone) -> None:
    with watchdog() as (process, wire):
        wire.sendall(f"add {mark('marked')}\n".encode())
        child = start(*PYTHON, ESCAPES, run_id=mark("marked"))
        inner = int(await child.line())
        wire.close()
        assert gone(child.pid)
        assert gone(inner)
        assert process.wait(10) == 0


async def test_a_process_without_the_mark_is_found_by_its_number(start: Start, gone: Gone) -> None:
    child = start(*PYTHON, FORGETS_ITS_MARK, run_id=mark("forgotten"))
    await child.line()

    with watchdog() as (process, wire):
        wire.sendall(f"add {mark('forgotten')} {child.pid} {child.process.start_time}\n".encode())
        wire.close()
        assert gone(child.pid)
        assert process.wait(10) == 0


async def test_the_session_of_a_dead_leader_is_emptied(start: Start, gone: Gone) -> None:
    child = start(*PYTHON, LEAVES_ONE_IN_ITS_SESSION, run_id=mark("session"))
    inner = int(await child.line())
    await child.process.wait()

    with watchdog() as (process, wire):
        wire.sendall(f"add {mark('session')} {child.pid} {child.process.start_time}\n".encode())
        wire.close()
        assert gone(inner)
        assert process.wait(10) == 0


async def test_what_was_removed_and_who_only_has_the_number_stays(start: Start) -> None:
    removed, reused, unlisted = (start("sleep", "300", run_id=name) for name in ("removed", "reused", "none"))

    with watchdog() as (process, wire):
        wire.sendall(f"add removed {removed.pid} {removed.process.start_time}\nremove removed\n".encode())
        wire.sendall(f"add former {reused.pid} {reused.process.start_time - 1}\n".encode())
        wire.close()
        assert process.wait(10) == 0
        assert all(child.process.alive() for child in (removed, reused, unlisted))


async def test_lines_may_come_in_pieces_and_the_last_may_be_torn(start: Start, gone: Gone) -> None:
    told, torn = mark("told"), mark("torn")
    child, other = start("sleep", "300", run_id=told), start("sleep", "300", run_id=torn)

    with watchdog() as (process, wire):
        for piece in ("ad", f"d {told[:2]}", f"{told[2:]}\nadd {torn[:2]}", torn[2:]):
            wire.sendall(piece.encode())
            await anyio.sleep(0.05)

        wire.close()
        assert gone(child.pid)
        assert process.wait(10) == 0
        assert other.process.alive()


async def test_signals_that_end_hostler_do_not_end_it(start: Start, gone: Gone) -> None:
    child = start("sleep", "300", run_id=mark("deaf"))

    with watchdog() as (process, wire):
        wire.sendall(f"add {mark('deaf')}\n".encode())
        await until(lambda: ignores(process.pid, signal.SIGTERM))

        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            process.send_signal(number)

        assert process.poll() is None
        wire.close()
        assert gone(child.pid)
        assert process.wait(10) == 0


def ignores(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("SigIgn:")[2].split()[0], 16) >> (number - 1) & 1)


async def test_its_parts_do_the_same_inside_of_another_program(start: Start) -> None:
    ours, theirs = socket.socketpair()
    inside = mark("inside")
    child, removed = start(*PYTHON, ESCAPES, run_id=inside), start("sleep", "300", run_id="removed")
    inner = int(await child.line())

    with ours, theirs:
        ours.sendall(f"add {inside}\nadd other {child.pid} {child.process.start_time}\nadd x\n".encode())
        ours.sendall(b"\nnonsense\nadd removed\nremove removed\n")
        ours.close()
        runs = program.listen(os.getppid(), theirs.fileno())

    assert [(run.run_id, run.pid) for run in runs.values()] == [(inside, 0), ("other", child.pid), ("x", 0)]
    program.kill(list(runs.values()))
    assert not child.process.alive()
    assert not psutil.pid_exists(inner) or psutil.Process(inner).status() == psutil.STATUS_ZOMBIE
    assert removed.process.alive()


async def test_who_has_got_the_number_of_one_that_ended_meanwhile_is_not_killed(start: Start) -> None:
    child = start("sleep", "300")
    program.end(Member(child.pid, child.process.start_time - 1))
    child.process.send_signal(signal.SIGTERM)
    assert (await child.process.wait()).signal == signal.SIGTERM


def test_who_is_no_child_of_hostler_any_more_has_lost_it() -> None:
    ours, theirs = socket.socketpair()

    with ours, theirs:
        assert program.listen(2**22 + 1, theirs.fileno()) == {}  # a number that no process has


async def test_what_does_not_die_is_given_up(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    child = start("sleep", "300", run_id=mark("immortal"))
    monkeypatch.setattr(program, "_KILL_WITHIN", 0.05)
    monkeypatch.setattr(program, "end", lambda _: None)  # what hangs in the kernel cannot be made at will
    program.kill([program.Run(mark("immortal"), child.pid, child.process.start_time)])
    assert child.process.alive()


FORKS_AND_DIES = """
import os, subprocess, sys, time
from hostler.process.disk.watchdog_client import WatchdogClient
import asyncio

async def main():
    guard = WatchdogClient()
    guard.add(sys.argv[1], print)
    os.kill(int(sys.argv[2]), 0)
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(300)
    os._exit(0)

asyncio.run(main())
"""


async def test_a_fork_of_hostler_that_holds_the_wire_does_not_keep_it_waiting(
    start: Start, gone: Gone, stray: Callable[[int], int]
) -> None:
    child = start("sleep", "300", run_id=mark("forked"))
    argv = [sys.executable, "-W", "ignore", "-c", FORKS_AND_DIES, mark("forked"), str(child.pid)]

    with subprocess.Popen(argv, stdout=subprocess.PIPE) as host:  # noqa: ASYNC220 - it ends at once
        assert host.stdout is not None
        fork = stray(int(host.stdout.readline()))
        assert gone(child.pid)
        assert psutil.pid_exists(fork)
        os.kill(fork, signal.SIGKILL)


# -- hostler's side ----------------------------------------------------------------------------


async def test_there_is_no_watchdog_before_it_is_needed_and_none_afterwards(gone: Gone) -> None:
    async with guarding() as (guard, told, tell):
        assert guard.pid is None
        guard.add("one", tell)
        pid = watchdog_of(guard)
        guard.add("two", tell)
        assert watchdog_of(guard) == pid
        guard.remove("one")
        guard.remove("two")
        guard.remove("two")
        guard.complete("two", 1, 1)

    assert guard.pid is None
    assert gone(pid)
    assert told == []
    guard.close()


async def test_a_watchdog_is_started_without_delay_is_small_and_knows_nothing() -> None:
    os.environ["SOME_SECRET"] = "sesame-open-sesame"

    try:
        async with guarding() as (guard, _, tell):
            began = time.monotonic()
            guard.add("one", tell)
            assert time.monotonic() - began < 0.1
            process = psutil.Process(watchdog_of(guard))
            await until(lambda: ignores(process.pid, signal.SIGTERM))
            await anyio.sleep(0.2)
            assert set(process.environ()) <= {MARKER, "LD_LIBRARY_PATH", "LC_CTYPE"}
            assert process.memory_info().rss < 25_000_000
            assert process.cwd() == "/"
            assert os.getsid(process.pid) == process.pid
            assert process.num_threads() == 1
    finally:
        del os.environ["SOME_SECRET"]


async def test_a_watchdog_inside_a_server_of_another_hostler_carries_its_mark(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(MARKER, "outer")

    async with guarding() as (guard, _, tell):
        guard.add("one", tell)
        pid = watchdog_of(guard)
        await until(lambda: psutil.Process(pid).environ().get(MARKER) == "outer")


async def test_a_lost_watchdog_is_told_and_replaced_and_the_next_knows_the_whole_list(
    start: Start, gone: Gone
) -> None:
    child = start(*PYTHON, FORGETS_ITS_MARK, run_id=mark("kept"))
    await child.line()

    async with guarding() as (guard, told, tell):
        guard.add(mark("kept"), tell)
        guard.complete(mark("kept"), child.pid, child.process.start_time)
        first = watchdog_of(guard)
        os.kill(first, signal.SIGKILL)
        await until(partial(replaced, guard, first))
        assert told == [
            ("guard_lost", f"the watchdog (pid {first}) is gone: SIGKILL; another one is started")
        ]
        guard._hang_up()  # what the end of this process would do
        assert gone(child.pid)


async def test_a_watchdog_that_ends_again_and_again_is_started_less_and_less_often() -> None:
    async with guarding() as (guard, told, tell):
        guard.add(mark("kept"), tell)

        for _ in range(2):
            pid = watchdog_of(guard)
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            await until(partial(replaced, guard, pid))

        assert time.monotonic() - began > 0.4
        assert len(told) == 2


async def test_nobody_is_told_of_a_watchdog_that_guarded_nobody_and_the_next_run_gets_one() -> None:
    async with guarding() as (guard, told, tell):
        guard.add("one", tell)
        guard.remove("one")
        os.kill(watchdog_of(guard), signal.SIGKILL)
        await until(lambda: guard.pid is None)
        assert told == []
        guard.add("two", tell)
        assert psutil.pid_exists(watchdog_of(guard))


async def test_a_run_that_is_added_while_the_watchdog_is_dead_is_guarded_by_the_next(
    start: Start, gone: Gone
) -> None:
    async with guarding() as (guard, _, tell):
        guard.add("one", tell)
        pid = watchdog_of(guard)
        os.kill(pid, signal.SIGKILL)
        assert gone(pid)
        guard.add(mark("late"), tell)  # before the loop could notice
        child = start("sleep", "300", run_id=mark("late"))
        await until(partial(replaced, guard, pid))
        guard._hang_up()
        assert gone(child.pid)


async def test_a_watchdog_that_does_not_read_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(guard_module, "_PATIENCE", 0.1)

    async with guarding() as (guard, told, tell):
        guard.add("one", tell)
        pid = watchdog_of(guard)
        os.kill(pid, signal.SIGSTOP)

        for number in range(5000):
            guard.add(f"run-{number}", tell)

            if guard._wire is None:
                break

        await until(partial(replaced, guard, pid))
        assert {topic for topic, _ in told} == {"guard_lost"}


async def test_without_a_program_for_it_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")

    async with guarding() as (guard, _, tell):
        with pytest.raises(ProcessSpawnFailed, match="watchdog") as caught:
            guard.add("one", tell)

        assert not caught.value.permanent
        assert guard._runs == {}
        assert guard.pid is None


async def test_a_watchdog_that_cannot_be_started_again_is_told_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    python = sys.executable

    async with guarding() as (guard, told, tell):
        guard.add("one", tell)
        monkeypatch.setattr(sys, "executable", "/no/such/python")
        os.kill(watchdog_of(guard), signal.SIGKILL)
        await until(lambda: len(told) >= 2)
        assert "no watchdog can be started: No such file or directory" in told[1][1]
        monkeypatch.setattr(sys, "executable", python)
        await until(lambda: guard.pid is not None)


async def test_closing_with_runs_on_the_list_lets_the_watchdog_end_them(start: Start) -> None:
    child = start("sleep", "300", run_id=mark("still"))
    other = start("sleep", "300", run_id=mark("other"))

    async with guarding() as (guard, _, tell):
        guard.add(mark("still"), tell)
        guard.complete(mark("still"), child.pid, child.process.start_time)
        pid = watchdog_of(guard)
        guard.close()
        assert not child.process.alive()
        assert other.process.alive()
        assert not psutil.pid_exists(pid)


async def test_the_wire_is_not_inherited_by_children(start: Start) -> None:
    async with guarding() as (guard, _, tell):
        guard.add("one", tell)
        assert guard._wire is not None
        assert not guard._wire.get_inheritable()
        child = start("sleep", "300")
        assert f"socket:[{os.fstat(guard._wire.fileno()).st_ino}]" not in links_of(child.pid)


def links_of(pid: int) -> list[str]:
    links = []

    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed while we look
            links.append(str(entry.readlink()))

    return links
