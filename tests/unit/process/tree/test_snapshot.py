import asyncio
import os
import signal
import sys
import threading
from collections.abc import Callable
from typing import Any

import anyio
import pytest
from hostler.process.system import Processes
from hostler.process.tree import process_table
from hostler.process.tree.members import find_tree
from hostler.process.tree.process_table import Table, read_table
from hostler.process.tree.snapshot import ProcessTableSnapshot

Start = Callable[..., Any]


async def test_the_living_processes_of_other_servers_are_left_out_of_a_look(start: Start) -> None:
    server, other = start("sleep", "60"), start("sleep", "60")
    snapshot = ProcessTableSnapshot()
    snapshot.note_leader(server.process)
    snapshot.note_leader(other.process)

    assert server.pid in snapshot.look_now(server.process).rows
    assert other.pid not in snapshot.look_now(server.process).rows
    both, same = await asyncio.gather(snapshot.look(server.process), snapshot.look(other.process))
    assert both is same
    assert {server.pid, other.pid} <= both.rows.keys()


async def test_a_living_process_of_a_server_is_not_asked_for_its_marks(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = start("sleep", "60")
    snapshot = ProcessTableSnapshot()
    snapshot.note_leader(server.process)
    asked: list[int] = []

    def environment(pid: int) -> bytes:
        asked.append(pid)
        return b"A=1"

    monkeypatch.setattr(process_table, "_environment", environment)

    table = snapshot.look_now(server.process)
    assert [member.pid for member in find_tree(server.process, table=table)] == [server.pid]
    assert server.pid not in asked


async def test_what_a_dead_process_of_another_server_left_is_found_again(start: Start) -> None:
    snapshot = ProcessTableSnapshot()
    server = start("sleep", "60")
    other = start("sh", "-c", "setsid sleep 60 & echo $!; wait")
    left = int(await other.line())
    snapshot.note_leader(other.process)
    assert left in snapshot.look_now(server.process).rows  # no leader, though it is nobody's just yet

    os.kill(other.pid, signal.SIGKILL)
    await other.process.wait()

    table = await snapshot.look(other.process)
    assert [member.pid for member in find_tree(other.process, table=table)] == [left]


async def test_a_number_of_a_reaped_process_is_looked_at_again(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, other = start("sleep", "60"), start("true")
    await other.process.wait()
    child = start("sleep", "60")
    snapshot = ProcessTableSnapshot()
    with monkeypatch.context() as patched:
        patched.setattr(other.process, "pid", child.pid)  # as if it had been given out again
        snapshot.note_leader(other.process)
        assert child.pid in snapshot.look_now(server.process).rows


async def test_the_processes_of_former_runs_are_not_kept_where_orphans_are_adopted(start: Start) -> None:
    snapshot = ProcessTableSnapshot()
    snapshot.note_adopting(tuple)
    process = start("true").process
    await process.wait()
    before = sys.getrefcount(process)
    snapshot.note_leader(process)
    snapshot.shows_nobody(process)
    assert sys.getrefcount(process) == before


async def test_our_children_are_not_believed_to_be_all_where_proc_hides_other_users(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshot, process = ProcessTableSnapshot(), start("true").process
    snapshot.note_adopting(tuple)
    await process.wait()
    assert snapshot.shows_nobody(process)
    # To mount such a /proc takes root; that it is noticed is a test of procfs.
    monkeypatch.setattr("hostler.process.tree.snapshot.doubt", lambda: "hidepid")
    assert not snapshot.shows_nobody(process)
    assert os.getpid() in (await snapshot.look(process)).rows


async def test_a_look_takes_little_memory_and_who_waits_for_it_is_told_where_there_is_none(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    server, snapshot, read, most = start("sleep", "60"), ProcessTableSnapshot(), os.read, 1024

    def read_or_refuse(fd: int, size: int) -> bytes:
        if size > most:
            raise MemoryError
        return read(fd, size)

    with monkeypatch.context() as patched, anyio.fail_after(5):
        patched.setattr(os, "read", read_or_refuse)
        assert server.pid in (await snapshot.look(server.process)).rows
        most = 0
        with pytest.raises(MemoryError):
            await snapshot.look(server.process)


async def test_the_memory_of_many_is_measured_without_holding_up_the_loop(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    children = [start("sleep", "60") for _ in range(5)]
    loop, goes_on, turns = asyncio.get_running_loop(), threading.Event(), [0]

    def look(*args: Any) -> Table:
        assert goes_on.wait(10)
        return read_table(*args)

    def turn() -> None:
        turns[0] += 1
        loop.call_soon(turn)

    monkeypatch.setattr("hostler.process.tree.snapshot.read_table", look)
    loop.call_later(0.01, goes_on.set)
    loop.call_soon(turn)
    measured, at = [], []
    with anyio.fail_after(20):
        async for memory in Processes().memories([child.process for child in children]):
            measured.append(memory.processes)
            at.append(turns[0])

    assert measured == [1] * len(children)
    assert len(set(at)) == len(children)
