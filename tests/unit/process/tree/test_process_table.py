import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from hostler.process.tree import members, process_table
from hostler.process.tree.members import find_tree
from hostler.process.tree.process_table import (
    Row,
    Table,
    count_forks,
    find_marks,
    is_dying,
    read_row,
    read_subtrees,
    read_table,
    start_time,
    until_settled,
)
from hostler.process.tree.procfs import read as read_proc
from hostler.process.tree.terminate import stop_tree
from hostler.process.tree.usage import tree_memory
from namespaces import unshared
from run_marks import mark

Start = Callable[..., Any]

DAEMON = """
import os, pathlib, time
def fork_as(pid):
    pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))
    return os.fork()
ready, tell = os.pipe()
if fork_as(500) == 0:
    os.setsid()
    if os.fork() == 0:
        os.setsid()
        os.write(tell, str(os.getpid()).encode())
    time.sleep(60)
lower = int(os.read(ready, 9))
higher = fork_as(30000)
if higher:
    print(lower < 1000 and higher == 30000, flush=True)
time.sleep(60)
"""


FORKS_IN_A_THREAD = """
import subprocess, threading, time
def work():
    child = subprocess.Popen(["sh", "-c", "setsid sleep 60 & echo $!; wait"], stdout=subprocess.PIPE)
    print(child.pid, child.stdout.readline().decode(), flush=True)
    time.sleep(60)
threading.Thread(target=work).start()
time.sleep(60)
"""


async def test_what_descends_from_a_process_is_read_alone_whichever_thread_started_it(start: Start) -> None:
    other, server = start("sleep", "60"), start(sys.executable, "-c", FORKS_IN_A_THREAD)
    below = {int(pid) for pid in (await server.line()).split()}
    table = read_subtrees(lambda: [server.pid])
    assert table is not None
    assert set(table.rows) == {server.pid, *below}

    roots = iter([[server.pid], [server.pid, other.pid]])
    assert read_subtrees(lambda: next(roots)) is None


def test_a_name_with_parentheses_and_spaces_does_not_confuse(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to("/bin/sleep")
    child = subprocess.Popen([program, "60"])
    try:
        row = read_row(child.pid)
        assert row is not None
        assert (row.name, row.parent, row.session) == ("a) R 1 (b", os.getpid(), os.getsid(0))
    finally:
        child.kill()
        child.wait()

    assert read_row(child.pid) is None
    assert start_time(child.pid) == 0


def test_a_zombie_has_a_start_time_and_no_row() -> None:
    child = subprocess.Popen(["true"])
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)

    assert start_time(child.pid) > 0
    assert read_row(child.pid) is None
    child.wait()


def test_threads_of_the_kernel_are_not_in_the_table() -> None:
    assert 2 not in read_table().rows or Path("/proc/2/comm").read_text() != "kthreadd\n"


@pytest.mark.parametrize(
    ("environment", "marks"),
    [
        (b"", []),
        (b"A=1\0HOSTLER_RUN_ID=x\0B=2\0", ["x"]),
        (b"HOSTLER_RUN_ID=outer:inner\0", ["outer", "inner"]),
        (b"A=1\0MY_HOSTLER_RUN_ID=x\0", []),
        (b"A=HOSTLER_RUN_ID=x\0", []),
    ],
)
def test_markers_are_read_from_an_environment(environment: bytes, marks: list[str]) -> None:
    assert find_marks(environment) == marks


def test_forks_are_counted() -> None:
    before = count_forks()
    subprocess.run(["true"], check=True)

    assert count_forks() > before


NUMBERS = (
    """
import asyncio, os, pathlib, signal, sys
from hostler.model.launch import Launch
from hostler.process.spawn.spawn import spawn
from hostler.process.tree.members import find_tree
from hostler.process.tree.snapshot import ProcessTableSnapshot
from hostler.process.tree.terminate import stop_tree

DAEMON = """
    + repr(DAEMON)
    + """

def next_pid(pid):
    pathlib.Path("/proc/sys/kernel/ns_last_pid").write_text(str(pid - 1))

async def main():
    here, census = pathlib.Path("/tmp"), ProcessTableSnapshot()
    next_pid(20000)
    launch = Launch(server="a", generation=1, argv=[sys.executable, "-c", DAEMON], cwd=here,
                    env={"PATH": "/usr/bin:/bin"}, host="127.0.0.1", port=None, data_dir=here, cache_dir=here)
    out, write = os.pipe()
    process = spawn(launch, run_id=sys.argv[1], stdout_fd=write, stderr_fd=write)
    await census.look(process)
    os.write(1, os.read(out, 100))
    print(process.pid >= 20000, len(find_tree(process, table=await census.look(process))), flush=True)
    print(await stop_tree(process, grace=5, snapshot=census), find_tree(process), flush=True)

asyncio.run(main())
"""
)


@pytest.mark.skipif(os.geteuid() != 0, reason="a pid namespace of its own needs root")
def test_descendants_are_found_whatever_their_numbers() -> None:
    program = [sys.executable, "-c", NUMBERS, mark("numbers")]
    done = unshared(["--pid", "--fork", "--mount-proc", "--kill-child", *program])

    assert (done.stdout, done.stderr) == ("True\nTrue 4\n() []\n", "")


async def test_who_is_older_than_the_server_is_read_once(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[str] = []

    def note_and_read(path: str) -> bytes:
        read.append(path)
        return read_proc(path)

    await anyio.sleep(0.02)  # two ticks of the kernel's clock
    child = start("sleep", "60")
    seen: dict[int, tuple[int, float]] = {}
    read_table(child.process.start_time, seen)
    monkeypatch.setattr("hostler.process.tree.process_table.read", note_and_read)

    assert child.pid in read_table(child.process.start_time, seen).rows
    assert f"/proc/{child.pid}/stat" in read
    assert f"/proc/{os.getpid()}/stat" not in read


async def test_a_number_that_was_given_out_again_is_read_again(start: Start) -> None:
    child = start("sleep", "60")
    seen: dict[int, tuple[int, float]] = {}
    since = child.process.start_time
    read_table(0, seen)
    folder, _ = seen[child.pid]
    seen[child.pid] = folder - 1, since - 1  # as if one that was older had had it then
    assert child.pid in read_table(since, seen).rows


def test_a_look_during_which_something_was_started_is_not_the_last() -> None:
    looks = 0
    for _ in until_settled():
        looks += 1
        if looks < 3:
            subprocess.run(["true"], check=True)
    assert looks >= 3


async def test_processes_older_than_the_server_are_not_asked_for_their_environment(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []
    read = process_table._environment

    def note_and_read(pid: int) -> bytes:
        asked.append(pid)
        return read(pid)

    monkeypatch.setattr(process_table, "_environment", note_and_read)
    await anyio.sleep(0.02)  # two ticks of the kernel's clock
    child = start("sleep", "60")
    find_tree(child.process)

    assert child.pid in asked
    assert os.getpid() not in asked


async def test_a_process_without_environment_hurts_nobody(start: Start) -> None:
    child = start("env", "-i", "sleep", "60")
    with anyio.fail_after(5):
        while process_table._environment(child.pid):  # noqa: ASYNC110  (nobody tells an exec)
            await anyio.sleep(0.005)
    assert [member.pid for member in find_tree(child.process)] == [child.pid]


async def test_a_loaded_program_without_environment_is_not_waited_for(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start("env", "-i", "sleep", "60")
    with anyio.fail_after(5):
        while not (row := read_row(child.pid)) or row.name != "sleep":  # noqa: ASYNC110
            await anyio.sleep(0.005)
        while not process_table._has_arguments(child.pid):  # noqa: ASYNC110
            await anyio.sleep(0.005)
    slept: list[float] = []
    monkeypatch.setattr("hostler.process.tree.process_table.time.sleep", slept.append)

    assert process_table._environment(child.pid) == b""
    Table(iter([row])).read_marks(0)
    assert slept == []


@pytest.mark.skipif(os.geteuid() != 0, reason="changes the user")
async def test_environments_of_other_users_are_passed_over(start: Start) -> None:
    child = start("sleep", "60")
    os.setegid(65534)
    os.seteuid(65534)
    try:
        assert [member.pid for member in find_tree(child.process)] == [child.pid]
    finally:
        os.seteuid(0)
        os.setegid(0)


async def test_memory_is_that_of_the_whole_tree(start: Start) -> None:
    code = "import os, time; block = bytearray(30 << 20); print('ready', flush=True); time.sleep(60)"
    child = start("sh", "-c", '"$@" & wait', "sh", sys.executable, "-I", "-S", "-c", code)
    assert await child.line() == "ready"

    memory = tree_memory(child.process)
    assert memory.processes == 2
    assert 30 << 20 < memory.rss < 80 << 20
    assert tree_memory(child.process, read_table()) == memory


async def test_a_dead_server_uses_no_memory(start: Start) -> None:
    child = start("true")
    await child.process.wait()

    assert (tree_memory(child.process).rss, tree_memory(child.process).processes) == (0, 0)


def test_sessions_and_groups_of_members_belong_to_them() -> None:
    def row(pid: int, parent: int, group: int, session: int) -> Row:
        return Row(pid, "", "S", parent, group, session, 1, 0)

    rows = [
        row(10, 1, 10, 10),
        row(11, 10, 11, 10),
        row(12, 1, 11, 10),
        row(13, 1, 13, 9),
        row(14, 12, 14, 14),
    ]
    look = process_table.Table(iter([*rows, row(15, 1, 15, 14)]))

    found = members._members(look, [look.rows[11]], set())
    assert {member.pid for member in found} == {11, 12, 14, 15}
    assert {member.pid for member in members._members(look, [look.rows[10]], {12})} == {10, 11}


def test_a_stopped_process_shows_as_stopped() -> None:
    child = subprocess.Popen(["sleep", "60"])
    child.send_signal(signal.SIGSTOP)
    os.waitid(os.P_PID, child.pid, os.WSTOPPED)

    try:
        row = read_row(child.pid)
        assert row is not None
        assert row.state == "T"
    finally:
        child.kill()
        child.wait()


async def test_a_marker_behind_a_large_environment_is_found(start: Start) -> None:
    env = {f"V{number}": "x" * 60_000 for number in range(5)} | {"PATH": "/usr/bin:/bin"}
    child = start("sh", "-c", "setsid sleep 60 & echo $!; exit 0", env=env)
    orphan = int(await child.line())
    await child.process.wait()
    with anyio.fail_after(5):
        while os.getsid(orphan) != orphan:  # noqa: ASYNC110  (nobody tells a setsid)
            await anyio.sleep(0.005)
    assert [member.pid for member in find_tree(child.process)] == [orphan]


async def test_a_program_is_waited_for_while_it_is_being_loaded(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    # how long the kernel takes to load a program cannot be arranged
    child, empty = start("sleep", "60", run_id="loaded"), [b""] * 5
    read = process_table._environment
    monkeypatch.setattr(process_table, "_environment", lambda pid: empty.pop() if empty else read(pid))
    monkeypatch.setattr(process_table, "_has_arguments", lambda pid: not empty)
    look = read_table(child.process.start_time)

    assert child.pid in [row.pid for row in look.marked(child.process.run_id, child.process.start_time)]


async def test_where_proc_shows_no_signals_none_is_on_its_way_and_a_tree_is_stopped(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start("sleep", "60")
    monkeypatch.setattr("hostler.process.tree.process_table.read_fields", lambda _: {})
    monkeypatch.setattr("hostler.process.tree.main_process.read", lambda _: b"")
    assert not is_dying(child.pid)
    assert await stop_tree(child.process, grace=5) == ()
