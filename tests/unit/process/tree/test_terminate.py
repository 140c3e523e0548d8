import errno
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hostler.concurrency.flag import Flag
from hostler.process.spawn.exits import ExitStatus
from hostler.process.tree import terminate as tree
from hostler.process.tree.handles import ProcessHandles
from hostler.process.tree.members import Member, find_tree
from hostler.process.tree.snapshot import ProcessTableSnapshot
from hostler.process.tree.terminate import kill_leftovers, kill_tree_now, stop_tree
from process_trees import ESCAPES, IGNORES_SIGTERM
from run_marks import mark

Start = Callable[..., Any]
Gone = Callable[[int], bool]
PYTHON = (sys.executable, "-I", "-S", "-c")

FORKS_WHEN_TOLD_TO_STOP = """
import os, signal, time
def leave_one_behind(number, frame):
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    if os.fork():
        os._exit(0)
    os.setsid()
    if os.fork():
        os._exit(0)
    time.sleep(60)
signal.signal(signal.SIGTERM, leave_one_behind)
print("ready", flush=True)
while True:
    time.sleep(60)
"""

GOES_TO_THE_BACKGROUND = """
import os, time
for step in range(60):
    if os.fork():
        os._exit(0)
    if step == 0:
        os.setsid()
    time.sleep(0.001)
time.sleep(60)
"""

LEAVES_AN_ORPHAN = """
import subprocess
orphan = subprocess.Popen(["sleep", "60"], start_new_session=True, stdout=subprocess.DEVNULL)
print(orphan.pid)
orphan.returncode = 0
"""

SPARES_ITSELF = """
import subprocess, sys
from hostler.process.tree.terminate import kill_leftovers
child = subprocess.Popen(["sleep", "60"])
print(kill_leftovers(sys.argv[1]), child.poll())
child.kill()
child.wait()
"""

STOPS_ITSELF = "import os, signal; print('ready', flush=True); os.kill(os.getpid(), signal.SIGSTOP)"


def stat_fields(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()


def state_of(pid: int) -> str:
    return stat_fields(pid)[0]


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


def leave_an_orphan(**env: str) -> int:
    """What a dead supervisor leaves behind: nobody's child."""
    env["PATH"] = "/usr/bin:/bin"
    result = subprocess.run([*PYTHON, LEAVES_AN_ORPHAN], env=env, stdout=subprocess.PIPE, check=True)
    return int(result.stdout)


def no_descriptors(pid: int) -> int:
    raise OSError(errno.EMFILE, "Too many open files")


async def wait_for_state(pid: int, state: str) -> None:
    with anyio.fail_after(10):
        while state_of(pid) != state:  # noqa: ASYNC110  (the kernel tells it to the parent alone)
            await anyio.sleep(0.005)


async def test_an_obedient_server_is_stopped_at_once(start: Start) -> None:
    child = start("sleep", "60")
    before = time.monotonic()

    assert await stop_tree(child.process, grace=10) == ()
    assert child.process.exit_status == ExitStatus(signal=signal.SIGTERM)
    assert time.monotonic() - before < 5


async def test_a_server_that_ignores_sigterm_is_killed_after_the_grace_period(start: Start) -> None:
    child = start(*PYTHON, IGNORES_SIGTERM)
    assert await child.line() == "ready"
    before = time.monotonic()

    assert await stop_tree(child.process, grace=0.3) == ()
    assert child.process.exit_status == ExitStatus(signal=signal.SIGKILL)
    assert 0.3 <= time.monotonic() - before < 5


async def test_no_grace_is_no_sigterm(start: Start, tmp_path: Path) -> None:
    child = start("sh", "-c", "trap 'touch told; exit' TERM; echo ready; while :; do sleep 0.1; done")
    assert await child.line() == "ready"

    assert await stop_tree(child.process, grace=0) == ()
    assert child.process.exit_status == ExitStatus(signal=signal.SIGKILL)
    assert os.listdir(tmp_path) == []  # noqa: PTH208


async def test_the_grace_period_can_be_cut_short(start: Start) -> None:
    child = start(*PYTHON, IGNORES_SIGTERM)
    assert await child.line() == "ready"
    enough = Flag()
    left: list[tuple[int, ...]] = []

    async def stop() -> None:
        left.append(await stop_tree(child.process, grace=60, cut_short=enough))

    with anyio.fail_after(10):
        async with anyio.create_task_group() as group:
            group.start_soon(stop)
            await anyio.sleep(0.1)
            assert child.process.alive()
            enough.set()

    assert left == [()]
    assert child.process.exit_status == ExitStatus(signal=signal.SIGKILL)


async def test_a_cut_that_never_comes_does_not_delay(start: Start) -> None:
    child = start("sleep", "60")
    with anyio.fail_after(5):
        assert await stop_tree(child.process, grace=60, cut_short=Flag()) == ()


async def test_what_is_started_while_stopping_is_stopped_too(start: Start) -> None:
    child = start(*PYTHON, FORKS_WHEN_TOLD_TO_STOP)
    assert await child.line() == "ready"

    before = time.monotonic()

    assert await stop_tree(child.process, grace=10) == ()
    assert find_tree(child.process) == []
    assert child.process.exit_status == ExitStatus(code=0)
    assert time.monotonic() - before < 5


async def test_one_that_goes_to_the_background_in_many_steps_is_stopped(start: Start) -> None:
    children = [start(*PYTHON, GOES_TO_THE_BACKGROUND) for _ in range(8)]
    for child in children:
        assert await child.process.wait() == ExitStatus(code=0)
        assert await stop_tree(child.process, grace=5) == ()
    for child in children:
        assert await child.text() == ""  # nobody holds its output any more


async def test_a_stopped_process_is_woken_up_to_obey(start: Start) -> None:
    child = start(*PYTHON, STOPS_ITSELF)
    assert await child.line() == "ready"
    await wait_for_state(child.pid, "T")

    assert await stop_tree(child.process, grace=10) == ()
    assert child.process.exit_status == ExitStatus(signal=signal.SIGTERM)


async def test_a_stopped_grandchild_is_woken_up_to_obey(start: Start, gone: Gone) -> None:
    child = start("sh", "-c", '"$@" & echo $!; wait; wait', "sh", *PYTHON, STOPS_ITSELF)
    inner = int(await child.line())
    assert await child.line() == "ready"
    await wait_for_state(inner, "T")
    before = time.monotonic()

    assert await stop_tree(child.process, grace=10) == ()
    assert gone(inner)
    assert time.monotonic() - before < 5


async def test_a_dead_leader_s_number_in_the_hands_of_another_is_not_believed(start: Start) -> None:
    child = start("true")
    await child.process.wait()
    stranger = start("sleep", "60")
    child.process.pid = stranger.pid  # as if the kernel had given the number out again, a while later
    child.process.start_time -= 10

    assert find_tree(child.process) == []
    assert await stop_tree(child.process, grace=1) == ()
    assert stranger.process.alive()


async def test_a_member_s_number_in_the_hands_of_another_is_not_signalled(start: Start) -> None:
    child, stranger = start("true"), start("sleep", "60")
    await child.process.wait()
    member = Member(stranger.pid, stranger.process.start_time - 1, "old")

    assert find_tree(child.process, [member]) == []
    assert kill_leftovers("no such run", stranger.pid, member.start_time) == ()

    with ProcessHandles() as grip:
        grip.hold([member])
        grip.signal(member, signal.SIGKILL)
        await grip.wait()

    await anyio.sleep(0.05)
    assert stranger.process.alive()


async def test_a_number_in_the_hands_of_another_is_not_waited_for(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def none_left(pid: int) -> int:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr("hostler.process.tree.handles.open_exit_fd", none_left)
    stranger = start("sleep", "60")
    member = Member(stranger.pid, stranger.process.start_time - 1, "old")
    with ProcessHandles() as grip, anyio.fail_after(10):
        grip.hold([member])
        await grip.wait_for([member])


async def test_a_stop_that_is_cancelled_lets_go_of_everything(start: Start) -> None:
    child = start(*PYTHON, IGNORES_SIGTERM)
    assert await child.line() == "ready"
    before = open_descriptors()
    with anyio.move_on_after(0.1):
        await stop_tree(child.process, grace=60)
    assert open_descriptors() == before
    assert child.process.alive()


async def test_what_cannot_be_stopped_is_named(start: Start) -> None:
    child = start(*PYTHON, IGNORES_SIGTERM)
    assert await child.line() == "ready"

    # a process in uninterruptible sleep cannot be had here: "no time for SIGKILL" stands in for it
    assert await stop_tree(child.process, grace=0.05, last=0) == (child.pid,)


def test_trees_are_stopped_under_uvloop(start: Start) -> None:
    async def stop() -> tuple[int, ...]:
        child = start(*PYTHON, ESCAPES)
        await child.line()
        with anyio.fail_after(10):
            return await stop_tree(child.process, grace=20)

    assert anyio.run(stop, backend_options={"use_uvloop": True}) == ()


async def test_many_servers_share_a_few_looks(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    children = [start("sleep", "60") for _ in range(20)]
    census = ProcessTableSnapshot()
    looks: list[int] = []
    take = ProcessTableSnapshot._take

    def count_and_take(census: ProcessTableSnapshot) -> None:
        looks.append(1)
        take(census)

    monkeypatch.setattr(ProcessTableSnapshot, "_take", count_and_take)

    async with anyio.create_task_group() as group:
        for child in children:
            group.start_soon(partial(stop_tree, child.process, grace=5, snapshot=census))

    assert not any(child.process.alive() for child in children)
    assert 2 <= len(looks) < 20


async def test_a_look_that_is_no_longer_wanted_hurts_nobody(start: Start) -> None:
    child = start("sleep", "60")
    census = ProcessTableSnapshot()
    async with anyio.create_task_group() as group:
        group.start_soon(census.look, child.process)
        group.start_soon(census.look, child.process)
        await anyio.lowlevel.checkpoint()
        group.cancel_scope.cancel()
    assert child.pid in (await census.look(child.process)).rows


async def test_without_descriptors_the_leader_is_still_stopped(start: Start) -> None:
    child = start(*PYTHON, IGNORES_SIGTERM)
    assert await child.line() == "ready"
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))

    try:
        assert await stop_tree(child.process, grace=0.1) == ()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    assert child.process.exit_status == ExitStatus(signal=signal.SIGKILL)


async def test_members_without_descriptors_are_asked_for_again(
    start: Start, monkeypatch: pytest.MonkeyPatch, gone: Gone
) -> None:
    child = start("sh", "-c", "sleep 60 & echo $!; wait")
    inner = int(await child.line())

    # descriptors that suffice for looking and not for holding cannot be arranged
    monkeypatch.setattr("hostler.process.tree.handles.open_exit_fd", no_descriptors)

    assert await stop_tree(child.process, grace=5) == ()
    assert gone(inner)


async def test_a_tree_can_be_killed_without_waiting_for_a_loop(start: Start, gone: Gone) -> None:
    child = start(*PYTHON, ESCAPES, "close")
    escaped = int(await child.line())

    assert kill_tree_now(child.process) == ()
    assert child.process.exit_status == ExitStatus(signal=signal.SIGKILL)
    assert gone(escaped)
    assert kill_tree_now(child.process) == ()


async def test_a_leader_is_killed_without_descriptors(start: Start) -> None:
    child = start("sleep", "60")
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
    try:
        assert kill_tree_now(child.process) == ()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    assert child.process.exit_status == ExitStatus(signal=signal.SIGKILL)


async def test_members_without_descriptors_are_killed_too(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    child = start("sh", "-c", "sleep 60 & echo ready; wait")
    assert await child.line() == "ready"

    monkeypatch.setattr("hostler.process.tree.handles.open_exit_fd", no_descriptors)  # as above

    assert kill_tree_now(child.process) == ()


async def test_killing_names_what_was_left(start: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    child = start("sleep", "60")
    monkeypatch.setattr(tree, "_KILL_WITHIN", 0.0)

    assert kill_tree_now(child.process) == (child.pid,)
    monkeypatch.undo()


async def test_leftovers_are_found_by_the_marker(
    start: Start, stray: Callable[[int], int], gone: Gone
) -> None:
    run = mark("left")
    orphan = stray(leave_an_orphan(HOSTLER_RUN_ID=f"old:{run}"))
    child = start("sleep", "60", run_id=run)  # below ourselves: not a leftover

    assert kill_leftovers(run) == (orphan,)
    assert gone(orphan)
    assert child.process.alive()
    assert kill_leftovers(run) == ()


def test_a_leftover_leader_is_found_by_its_pid_and_start_time(
    stray: Callable[[int], int], gone: Gone
) -> None:
    orphan = stray(leave_an_orphan())

    assert kill_leftovers("no-such-run", orphan, int(stat_fields(orphan)[19])) == (orphan,)
    assert gone(orphan)


def test_a_leftover_pid_with_another_start_time_is_not_believed(stray: Callable[[int], int]) -> None:
    orphan = stray(leave_an_orphan())

    assert kill_leftovers("no-such-run", orphan, int(stat_fields(orphan)[19]) - 1) == ()
    assert kill_leftovers("no-such-run", orphan) == ()
    assert state_of(orphan) == "S"


def test_a_hostler_inside_a_leftover_tree_spares_itself_and_its_ancestors() -> None:
    run = mark("left")
    result = subprocess.run(
        ["sh", "-c", '"$@"; echo spared', "sh", sys.executable, "-c", SPARES_ITSELF, run],
        env={"HOSTLER_RUN_ID": run, "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    )

    assert result.stdout.splitlines() == ["() None", "spared"]
