import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
from hostler.model.choices import OutputMode
from hostler.model.launch import Launch
from hostler.process.spawn.exits import ExitStatus, Process, open_exit_fd
from hostler.process.spawn.spawn import spawn
from run_marks import mark

Start = Callable[..., Any]


def state_of(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0]
    except FileNotFoundError:
        return "gone"


def take_status(pid: int) -> None:
    """Wait for a child as a careless host program would."""
    assert os.waitpid(pid, 0)[0] == pid


def open_descriptors() -> int:
    return sum(1 for _ in Path("/proc/self/fd").iterdir())


@pytest.mark.requirement("R3")
@pytest.mark.parametrize("code", [0, 1, 3, 255])
async def test_an_exit_code_is_told(start: Start, code: int) -> None:
    child = start("sh", "-c", f"exit {code}")

    assert await child.process.wait() == ExitStatus(code=code)
    assert child.process.exit_status == ExitStatus(code=code)


@pytest.mark.requirement("R3")
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL, signal.SIGSEGV, signal.SIGRTMIN])
async def test_a_death_by_signal_is_told(start: Start, number: int) -> None:
    child = start("sleep", "60")

    assert child.process.alive()
    assert child.process.exit_status is None
    assert child.process.send_signal(number)
    assert await child.process.wait() == ExitStatus(signal=number)


@pytest.mark.requirement("R3")
async def test_a_zombie_is_not_alive(start: Start) -> None:
    child = start("sh", "-c", "exit 4")
    select.select([child.process.exit_fd], [], [], 10)  # the loop is blocked: nobody can have reaped it
    assert state_of(child.pid) == "Z"

    assert not child.process.alive()
    assert child.process.exit_status == ExitStatus(code=4)
    assert state_of(child.pid) == "gone"


async def test_a_child_is_reaped_though_nobody_waits(start: Start) -> None:
    child = start("true")
    with anyio.fail_after(10):
        while state_of(child.pid) != "gone":  # noqa: ASYNC110  (nobody waits: that is the point)
            await anyio.sleep(0.01)


async def test_many_may_wait_and_one_may_be_cancelled(start: Start) -> None:
    child = start("sh", "-c", "read line; exit 7", cwd=Path("/"))
    sleeper = start("sleep", "60")
    seen: list[ExitStatus] = []

    async def wait() -> None:
        seen.append(await sleeper.process.wait())

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        group.start_soon(wait)
        with anyio.move_on_after(0.01) as scope:
            await sleeper.process.wait()
        assert scope.cancelled_caught
        assert sleeper.process.alive()
        sleeper.process.send_signal(signal.SIGINT)

    assert seen == [ExitStatus(signal=signal.SIGINT)] * 2
    assert await child.process.wait() == ExitStatus(code=7)


async def test_who_is_notified_hears_of_the_end_as_soon_as_it_is_known(start: Start) -> None:
    child = start("true")
    heard: list[str] = []
    child.process.notify(lambda: heard.append("before"))
    select.select([child.process.exit_fd], [], [], 10)  # the loop is blocked: nobody can have reaped it
    assert heard == []
    assert not child.process.alive()
    child.process.notify(lambda: heard.append("after"))
    assert heard == ["before", "after"]


async def test_the_end_is_told_while_a_grandchild_holds_the_pipe(start: Start) -> None:
    child = start("sh", "-c", "sleep 60 & echo ready; exit 5")
    assert await child.line() == "ready"
    with anyio.fail_after(5):
        assert await child.process.wait() == ExitStatus(code=5)


async def test_no_signal_is_sent_after_the_end(start: Start) -> None:
    child = start("true")
    await child.process.wait()

    assert not child.process.send_signal(signal.SIGTERM)
    assert not child.process.alive()


async def test_a_signal_for_a_zombie_changes_nothing(start: Start) -> None:
    child = start("sh", "-c", "exit 4")
    select.select([child.process.exit_fd], [], [], 10)

    child.process.send_signal(signal.SIGTERM)
    assert child.process.exit_status == ExitStatus(code=4)


async def test_a_status_that_the_host_program_took_is_unknown(start: Start) -> None:
    child = start("sh", "-c", "exit 6")
    take_status(child.pid)

    assert await child.process.wait() == ExitStatus(code=None, signal=None)
    assert not child.process.alive()


async def test_a_signal_to_a_child_that_the_host_program_reaped_is_not_sent(start: Start) -> None:
    child = start("sleep", "60")
    child.process.send_signal(signal.SIGKILL)
    take_status(child.pid)

    assert not child.process.send_signal(signal.SIGTERM)
    assert not child.process.alive()


async def test_no_descriptor_is_left_open(start: Start) -> None:
    before = open_descriptors()
    child = start("true")
    await child.process.wait()

    assert open_descriptors() == before + 1  # the end of the pipe that the test reads


async def test_a_process_names_itself(start: Start) -> None:
    child = start("true", run_id="abc")
    assert repr(child.process) == f"<Process pid={child.pid} run_id={mark('abc')} alive>"

    await child.process.wait()
    assert "code=0" in repr(child.process)


def test_nobody_to_watch_is_no_descriptor(gone: Callable[[int], bool]) -> None:
    child = subprocess.Popen(["true"])
    child.wait()

    assert open_exit_fd(child.pid) is None
    assert gone(child.pid)


def test_without_a_running_loop_nothing_is_started(launch: Callable[..., Launch], tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match="no running event loop"):
        spawn(launch("touch", "made", stdout=OutputMode.IGNORE), run_id="x", stdout_fd=None, stderr_fd=None)
    assert not (tmp_path / "made").exists()


def test_exits_are_told_under_uvloop(start: Start) -> None:
    async def watch() -> ExitStatus:
        process: Process = start("sh", "-c", "sleep 0.05; exit 9").process
        with anyio.fail_after(5):
            return await process.wait()

    status = anyio.run(watch, backend_options={"use_uvloop": True})

    assert status == ExitStatus(code=9)


def test_a_child_that_outlives_its_loop_can_still_be_reaped(start: Start) -> None:
    async def begin() -> Process:
        process: Process = start("sleep", "60").process
        return process

    process = anyio.run(begin)
    os.kill(process.pid, signal.SIGKILL)
    select.select([process.exit_fd or 0], [], [], 10)

    assert not process.alive()
    assert process.exit_status == ExitStatus(signal=signal.SIGKILL)


IGNORES_SIGCHLD = """
import anyio, signal, sys
from pathlib import Path
from hostler.model.launch import Launch
from hostler.model.choices import OutputMode
from hostler.process.spawn.spawn import spawn

async def main():
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    here = Path("/")
    for command in (["true"], ["sleep", "0.05"]):
        launch = Launch(server="s", generation=1, argv=command, cwd=here, env={"PATH": "/usr/bin:/bin"},
                        host="", port=None, data_dir=here, cache_dir=here,
                        stdout=OutputMode.IGNORE, stderr=OutputMode.IGNORE)
        process = spawn(launch, run_id="r", stdout_fd=None, stderr_fd=None)
        with anyio.fail_after(5):
            print(await process.wait())

anyio.run(main)
"""


def test_a_host_program_that_ignores_sigchld_gets_an_unknown_exit() -> None:
    result = subprocess.run(
        [sys.executable, "-W", "error", "-c", IGNORES_SIGCHLD], capture_output=True, text=True, check=True
    )

    assert result.stdout.splitlines() == ["ExitStatus(code=None, signal=None)"] * 2
