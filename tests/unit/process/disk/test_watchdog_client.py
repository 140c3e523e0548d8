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
from hostler.process.disk import watchdog_client as client_module
from hostler.process.disk.watchdog_client import WatchdogClient
from hostler.process.tree.members import Member
from hostler.process.tree.process_table import MARKER
from run_marks import mark

Start: TypeAlias = Callable[..., Any]
Gone: TypeAlias = Callable[[int], bool]
Reports: TypeAlias = list[tuple[str, str]]
PYTHON = (sys.executable, "-I", "-S", "-c")

# Prints the pid of one that has left its session and its parent.
ESCAPES = """
import os, time
ours, theirs = os.pipe()
if os.fork() == 0:
    os.setsid()
    if inner := os.fork():
        os.write(theirs, str(inner).encode())
        os._exit(0)
    time.sleep(300)
os.wait()
print(os.read(ours, 10).decode(), flush=True)
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


def watchdog_of(client: WatchdogClient) -> int:
    assert client.pid is not None
    return client.pid


@asynccontextmanager
async def guarding() -> AsyncIterator[
    tuple[WatchdogClient, Reports, Callable[[str, str, Mapping[str, object]], None]]
]:
    """A client that is watched, what it tells, and the function that it tells it by."""
    client = WatchdogClient()
    reports: Reports = []

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(client.watch)
        try:
            yield client, reports, lambda topic, text, _: reports.append((topic, text))
        finally:
            tasks.cancel_scope.cancel()
            client.close()


def replaced(client: WatchdogClient, pid: int) -> bool:
    return client.pid not in {None, pid}


async def until(condition: Callable[[], bool], seconds: float = 10.0) -> None:
    with anyio.fail_after(seconds):
        while not condition():  # noqa: ASYNC110 - other processes report no event
            await anyio.sleep(0.005)


# -- the program ----------------------------------------------------------------------------------


@contextmanager
def watchdog() -> Iterator[tuple[subprocess.Popen[bytes], socket.socket]]:
    """A watchdog whose hostler is this process, and its channel."""
    ours, theirs = socket.socketpair()
    folder = Path(program.__file__).parents[3]
    argv = [sys.executable, "-I", "-S", program.__file__, str(os.getpid()), str(folder)]
    with ours, theirs, subprocess.Popen(argv, stdin=theirs.fileno(), start_new_session=True) as process:
        theirs.close()
        try:
            yield process, ours
        finally:
            process.kill()


async def test_at_the_end_of_the_channel_everything_listed_dies_and_the_watchdog_ends(
    start: Start, gone: Gone
) -> None:
    child = start(*PYTHON, ESCAPES, run_id="guarded")
    inner = int(await child.line())
    with watchdog() as (process, channel):
        channel.sendall(f"add {mark('guarded')} {child.pid} {child.process.start_time}\n".encode())
        channel.close()
        assert gone(child.pid)
        assert gone(inner)
        assert process.wait(10) == 0


async def test_a_run_that_was_not_spawned_yet_is_found_by_its_mark(start: Start, gone: Gone) -> None:
    with watchdog() as (process, channel):
        channel.sendall(f"add {mark('marked')}\n".encode())
        child = start(*PYTHON, ESCAPES, run_id="marked")
        inner = int(await child.line())
        channel.close()
        assert gone(child.pid)
        assert gone(inner)
        assert process.wait(10) == 0


async def test_a_process_without_the_mark_is_found_by_its_number(start: Start, gone: Gone) -> None:
    child = start(*PYTHON, FORGETS_ITS_MARK, run_id="forgotten")
    await child.line()
    with watchdog() as (process, channel):
        channel.sendall(f"add {mark('forgotten')} {child.pid} {child.process.start_time}\n".encode())
        channel.close()
        assert gone(child.pid)
        assert process.wait(10) == 0


async def test_the_session_of_a_dead_leader_is_emptied(start: Start, gone: Gone) -> None:
    child = start(*PYTHON, LEAVES_ONE_IN_ITS_SESSION, run_id="session")
    inner = int(await child.line())
    await child.process.wait()
    with watchdog() as (process, channel):
        channel.sendall(f"add {mark('session')} {child.pid} {child.process.start_time}\n".encode())
        channel.close()
        assert gone(inner)
        assert process.wait(10) == 0


async def test_what_was_removed_and_who_only_has_the_number_stays(start: Start) -> None:
    removed, reused, unlisted = (start("sleep", "300", run_id=name) for name in ("removed", "reused", "none"))
    run = mark("removed")
    with watchdog() as (process, channel):
        channel.sendall(f"add {run} {removed.pid} {removed.process.start_time}\nremove {run}\n".encode())
        channel.sendall(f"add {mark('former')} {reused.pid} {reused.process.start_time - 1}\n".encode())
        channel.close()
        assert process.wait(10) == 0
        assert all(child.process.alive() for child in (removed, reused, unlisted))


async def test_lines_may_come_in_pieces_and_the_last_may_be_torn(start: Start, gone: Gone) -> None:
    reports, torn = mark("reports"), mark("torn")
    child, other = start("sleep", "300", run_id="reports"), start("sleep", "300", run_id="torn")

    with watchdog() as (process, channel):
        for piece in ("ad", f"d {reports[:2]}", f"{reports[2:]}\nadd {torn[:2]}", torn[2:]):
            channel.sendall(piece.encode())
            await anyio.sleep(0.05)
        channel.close()
        assert gone(child.pid)
        assert process.wait(10) == 0
        assert other.process.alive()


async def test_signals_that_end_hostler_do_not_end_it(start: Start, gone: Gone) -> None:
    child = start("sleep", "300", run_id="deaf")

    with watchdog() as (process, channel):
        channel.sendall(f"add {mark('deaf')}\n".encode())
        await until(lambda: ignores(process.pid, signal.SIGTERM))
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            process.send_signal(number)
        assert process.poll() is None
        channel.close()
        assert gone(child.pid)
        assert process.wait(10) == 0


def ignores(pid: int, number: int) -> bool:
    status = Path(f"/proc/{pid}/status").read_text()
    return bool(int(status.partition("SigIgn:")[2].split()[0], 16) >> (number - 1) & 1)


async def test_its_parts_do_the_same_inside_of_another_program(start: Start, gone: Gone) -> None:
    ours, theirs = socket.socketpair()
    inside, other, empty, listed = map(mark, ("inside", "other", "empty", "removed"))
    child, removed = start(*PYTHON, ESCAPES, run_id="inside"), start("sleep", "300", run_id="removed")
    inner = int(await child.line())

    with ours, theirs:
        ours.sendall(f"add {inside}\nadd {other} {child.pid} {child.process.start_time}\n".encode())
        ours.sendall(f"add {empty}\n\nnonsense\nadd {listed}\nremove {listed}\n".encode())
        ours.close()
        runs = program.listen(os.getppid(), theirs.fileno())

    assert [(run.run_id, run.pid) for run in runs.values()] == [(inside, 0), (other, child.pid), (empty, 0)]
    program.kill(list(runs.values()))
    assert not child.process.alive()
    assert gone(inner)
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
    child = start("sleep", "300", run_id="immortal")
    monkeypatch.setattr(program, "_KILL_WITHIN", 0.05)
    monkeypatch.setattr(program, "end", lambda _: None)  # what hangs in the kernel cannot be made at will
    program.kill([program.Run(mark("immortal"), child.pid, child.process.start_time)])
    assert child.process.alive()


FORKS_AND_DIES = """
import os, subprocess, sys, time
from hostler.process.disk.watchdog_client import WatchdogClient
import asyncio

async def main():
    client = WatchdogClient()
    client.add(sys.argv[1], print)
    os.kill(int(sys.argv[2]), 0)
    if os.fork() == 0:
        print(os.getpid(), flush=True)
        time.sleep(300)
    os._exit(0)

asyncio.run(main())
"""


async def test_a_fork_of_hostler_that_holds_the_channel_does_not_keep_it_waiting(
    start: Start, gone: Gone, stray: Callable[[int], int]
) -> None:
    child = start("sleep", "300", run_id="forked")
    argv = [sys.executable, "-W", "ignore", "-c", FORKS_AND_DIES, mark("forked"), str(child.pid)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE) as host:  # noqa: ASYNC220 - it ends at once
        assert host.stdout is not None
        fork = stray(int(host.stdout.readline()))
        assert gone(child.pid)
        assert psutil.pid_exists(fork)
        os.kill(fork, signal.SIGKILL)


# -- hostler's side ----------------------------------------------------------------------------


async def test_there_is_no_watchdog_before_it_is_needed_and_none_afterwards(gone: Gone) -> None:
    async with guarding() as (client, reports, report):
        assert client.pid is None
        client.add("one", report)
        pid = watchdog_of(client)
        client.add("two", report)
        assert watchdog_of(client) == pid
        client.remove("one")
        client.remove("two")
        client.remove("two")
        client.complete("two", 1, 1)

    assert client.pid is None
    assert gone(pid)
    assert reports == []
    client.close()


async def test_a_watchdog_is_started_without_delay_is_small_and_knows_nothing() -> None:
    os.environ["SOME_SECRET"] = "sesame-open-sesame"

    try:
        async with guarding() as (client, _, report):
            began = time.monotonic()
            client.add("one", report)
            assert time.monotonic() - began < 0.1
            process = psutil.Process(watchdog_of(client))
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
    async with guarding() as (client, _, report):
        client.add("one", report)
        pid = watchdog_of(client)
        await until(lambda: psutil.Process(pid).environ().get(MARKER) == "outer")


async def test_a_lost_watchdog_is_reported_and_replaced_and_the_next_knows_the_whole_list(
    start: Start, gone: Gone
) -> None:
    child = start(*PYTHON, FORGETS_ITS_MARK, run_id="kept")
    await child.line()

    async with guarding() as (client, reports, report):
        client.add(mark("kept"), report)
        client.complete(mark("kept"), child.pid, child.process.start_time)
        first = watchdog_of(client)
        os.kill(first, signal.SIGKILL)
        await until(partial(replaced, client, first))
        assert reports == [
            ("guard_lost", f"the watchdog (pid {first}) is gone: SIGKILL; starting another one")
        ]
        client._close_channel()  # what the end of this process would do
        assert gone(child.pid)


async def test_a_watchdog_that_ends_again_and_again_is_started_less_and_less_often() -> None:
    async with guarding() as (client, reports, report):
        client.add(mark("kept"), report)
        for _ in range(2):
            pid = watchdog_of(client)
            began = time.monotonic()
            os.kill(pid, signal.SIGKILL)
            await until(partial(replaced, client, pid))
        assert time.monotonic() - began > 0.4
        assert len(reports) == 2


async def test_a_watchdog_without_runs_is_lost_silently_and_the_next_run_gets_one() -> None:
    async with guarding() as (client, reports, report):
        client.add("one", report)
        client.remove("one")
        os.kill(watchdog_of(client), signal.SIGKILL)
        await until(lambda: client.pid is None)
        assert reports == []
        client.add("two", report)
        assert psutil.pid_exists(watchdog_of(client))


async def test_a_run_that_is_added_while_the_watchdog_is_dead_is_guarded_by_the_next(
    start: Start, gone: Gone
) -> None:
    async with guarding() as (client, _, report):
        client.add("one", report)
        pid = watchdog_of(client)
        os.kill(pid, signal.SIGKILL)
        assert gone(pid)
        client.add(mark("late"), report)  # before the loop could notice
        child = start("sleep", "300", run_id="late")
        await until(partial(replaced, client, pid))
        client._close_channel()
        assert gone(child.pid)


async def test_a_watchdog_that_does_not_read_is_replaced(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_EXIT_TIMEOUT", 0.1)

    async with guarding() as (client, reports, report):
        client.add("one", report)
        pid = watchdog_of(client)
        os.kill(pid, signal.SIGSTOP)
        for number in range(5000):
            client.add(f"run-{number}", report)
            if client._channel is None:
                break
        await until(partial(replaced, client, pid))
        assert {topic for topic, _ in reports} == {"guard_lost"}


async def test_without_a_program_for_it_nothing_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    async with guarding() as (client, _, report):
        with pytest.raises(ProcessSpawnFailed, match="watchdog") as caught:
            client.add("one", report)
        assert not caught.value.permanent
        assert client._runs == {}
        assert client.pid is None


async def test_a_watchdog_that_cannot_be_started_again_is_reported_and_tried_again(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    python = sys.executable

    async with guarding() as (client, reports, report):
        client.add("one", report)
        monkeypatch.setattr(sys, "executable", "/no/such/python")
        os.kill(watchdog_of(client), signal.SIGKILL)
        await until(lambda: len(reports) >= 2)
        assert "no watchdog can be started: No such file or directory" in reports[1][1]
        monkeypatch.setattr(sys, "executable", python)
        await until(lambda: client.pid is not None)


async def test_closing_with_runs_on_the_list_lets_the_watchdog_end_them(start: Start) -> None:
    child = start("sleep", "300", run_id="still")
    other = start("sleep", "300", run_id="other")

    async with guarding() as (client, _, report):
        client.add(mark("still"), report)
        client.complete(mark("still"), child.pid, child.process.start_time)
        pid = watchdog_of(client)
        client.close()
        assert not child.process.alive()
        assert other.process.alive()
        assert not psutil.pid_exists(pid)


async def test_the_wire_is_not_inherited_by_children(start: Start) -> None:
    async with guarding() as (client, _, report):
        client.add("one", report)
        assert client._channel is not None
        assert not client._channel.get_inheritable()
        child = start("sleep", "300")
        assert f"socket:[{os.fstat(client._channel.fileno()).st_ino}]" not in links_of(child.pid)


def links_of(pid: int) -> list[str]:
    links = []
    for entry in Path(f"/proc/{pid}/fd").iterdir():
        with suppress(FileNotFoundError):  # closed while we look
            links.append(str(entry.readlink()))
    return links
