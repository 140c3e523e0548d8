"""Disks that are full, read-only, deleted under us, or hold what somebody else wrote."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from cli_project import Project
from fault_setup import ONCE, Mounts, configure, failure_of, notices, supervising
from hostler import (
    EnvironmentSetupFailed,
    Event,
    Exited,
    Launch,
    LogFileCreationFailed,
    Server,
    Spawned,
    State,
    hookimpl,
)
from hostler.process.disk.lock import NameLock
from hostler.process.disk.run_record import RunRecord, RunStore
from hostler.process.tree.process_table import start_time
from msgspec import structs
from output_capture import until

pytestmark = pytest.mark.usefixtures("nothing_is_left")
NO_ROOM = os.strerror(errno.ENOSPC)
QUICK = {"initial_delay": "10ms", "max_delay": "50ms"}


def fill(disk: Path, leave: int = 0) -> Path:
    """Leave no room on a disk, or only so many bytes."""
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("ab", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
    os.truncate(ballast, ballast.stat().st_size - leave)
    return ballast


async def write_until(server: Server, condition: Callable[[], object]) -> None:
    """Have the server write long lines until something has happened."""
    assert server.endpoint is not None
    while not condition():
        stream = await anyio.connect_tcp(server.endpoint.host, server.endpoint.port)
        async with stream:
            await stream.send(b"GET /%s HTTP/1.1\r\n\r\n" % (b"x" * 3000))
            with suppress(anyio.EndOfStream):
                while True:
                    await stream.receive()


def log_of(world: Project) -> Path:
    (path,) = world.directories.data.rglob("fake.log")
    return path


def file_instead(folder: Path, _: Mounts | None = None) -> Callable[[], object]:
    """A file takes the folder's place."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.write_text("in the way")
    return folder.unlink


def read_only_instead(folder: Path, mounts: Mounts) -> Callable[[], object]:
    """An empty disk that nobody can write to takes the folder's place."""
    mounts.empty_read_only(folder)
    return mounts.unmount


# -- the log ---------------------------------------------------------------------------------


@pytest.mark.parametrize("from_the_start", [True, False], ids=["full before the start", "full later"])
async def test_a_full_disk_costs_output_that_is_counted_and_never_the_server(
    from_the_start: bool, world: Project, mounts: Mounts
) -> None:
    events: list[Event] = []
    disk = mounts.small(world.directories.data, "256k")
    file = configure(world, "--log-requests", restart=QUICK)

    if from_the_start:
        fill(disk)

    with anyio.fail_after(40):
        async with supervising(world, file, events) as supervisor:
            server = supervisor["fake"]
            await server.wait_ready()
            ballast = fill(disk)
            await write_until(server, lambda: notices(events, "sink_failed"))
            assert NO_ROOM in notices(events, "sink_failed")[0]
            assert (server.state, server.restarts) == (State.RUNNING, 0)
            ballast.unlink()
            await write_until(server, lambda: notices(events, "sink_recovered"))

    assert f"bytes dropped: {NO_ROOM}]" in log_of(world).read_text()


async def test_a_server_is_restarted_on_a_full_disk_and_what_could_not_be_written_is_told(
    world: Project, mounts: Mounts
) -> None:
    events: list[Event] = []
    disk = mounts.small(world.directories.data, "256k")

    with anyio.fail_after(40):
        async with supervising(world, configure(world, restart=QUICK), events) as supervisor:
            server = supervisor["fake"]
            await server.wait_ready()
            fill(disk)
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await server.until(lambda: server.generation == 2 and server.usable)
            told = f"its crash record cannot be written: {NO_ROOM}"
            await until(lambda: told in notices(events, "not_written"))


@pytest.mark.requirement("R28")
async def test_a_log_file_that_cannot_be_made_fails_before_the_start(world: Project, mounts: Mounts) -> None:
    events: list[Event] = []
    folder = mounts.read_only(world.home / "logs")
    file = configure(world, plugins={"log_rotation": {"path": str(folder / "fake.log")}}, restart=ONCE)
    error = await failure_of(world, file, LogFileCreationFailed, events)
    assert f"the log file {folder}/fake.log cannot be opened: Read-only file system" in error.message
    assert "another path for the plugin log-rotation" in error.context.hint
    assert not any(isinstance(event, Spawned) for event in events)


@pytest.mark.parametrize("used_before", [True, False])
@pytest.mark.parametrize("kind", ["state", "data"])
async def test_a_directory_that_is_read_only_fails_before_the_start(
    kind: str, used_before: bool, world: Project, mounts: Mounts
) -> None:
    events: list[Event] = []
    file = configure(world, restart=ONCE)
    folder: Path = getattr(world.directories, kind)

    if used_before:
        await runs(world, file, [])

    mounts.read_only(folder)
    error = await failure_of(world, file, EnvironmentSetupFailed, events)
    assert f"the directory {folder}" in error.message
    assert "read-only" in error.message.lower()
    assert "XDG_STATE_HOME" in error.context.hint
    assert not any(isinstance(event, Spawned) for event in events)


@pytest.mark.parametrize("kind", ["state", "data"])
async def test_a_file_in_the_place_of_a_directory_fails_before_the_start(kind: str, world: Project) -> None:
    folder: Path = getattr(world.directories, kind)
    undo = file_instead(folder)
    error = await failure_of(world, configure(world, restart=ONCE), EnvironmentSetupFailed)
    assert str(folder) in error.message
    assert "Not a directory" in error.message
    undo()


@pytest.mark.parametrize(
    ("harm", "said"),
    [(read_only_instead, "Read-only file system"), (file_instead, "Not a directory")],
    ids=["read-only", "replaced by a file"],
)
async def test_a_log_directory_that_refuses_later_is_told_and_used_again_when_it_works(
    harm: Callable[[Path, Mounts], Callable[[], object]], said: str, world: Project, mounts: Mounts
) -> None:
    events: list[Event] = []

    with anyio.fail_after(40):
        async with supervising(world, configure(world, "--log-requests"), events) as supervisor:
            server = supervisor["fake"]
            await server.wait_ready()
            undo = harm(log_of(world).parent, mounts)
            await write_until(server, lambda: notices(events, "sink_failed"))
            assert said in notices(events, "sink_failed")[0]
            assert (server.state, server.restarts) == (State.RUNNING, 0)
            undo()
            await write_until(server, lambda: notices(events, "sink_recovered"))

    assert "bytes dropped: " in log_of(world).read_text()


async def test_a_data_directory_that_is_deleted_is_made_again_for_the_log_and_for_the_next_run(
    world: Project,
) -> None:
    events: list[Event] = []

    with anyio.fail_after(40):
        async with supervising(
            world, configure(world, "--log-requests", restart=QUICK), events
        ) as supervisor:
            server = supervisor["fake"]
            await server.wait_ready()
            shutil.rmtree(world.directories.data)
            await write_until(server, lambda: list(world.directories.data.rglob("fake.log")))
            shutil.rmtree(world.directories.data)
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await server.until(lambda: server.generation == 2 and server.usable)
            assert "listening on" in log_of(world).read_text()

    assert notices(events, "sink_failed") == []


# -- the state -------------------------------------------------------------------------------


def leave_a_record(world: Project, file: Path, change: Callable[[NameLock], object]) -> None:
    """What a killed hostler may have left of the server."""
    namespace = world.load(file).namespace
    assert namespace is not None
    lock = NameLock.take(world.directories, namespace, "fake")
    change(lock)
    lock.release()


@pytest.fixture
def bystander() -> Iterator[int]:
    """The pid of a process that is not ours (our descendants are spared anyway), and that lives on."""
    command = ["sh", "-c", "setsid sleep 60 >/dev/null 2>&1 & echo $!"]
    pid = int(subprocess.run(command, capture_output=True, check=True).stdout)
    began = start_time(pid)
    yield pid
    assert start_time(pid) == began
    os.kill(pid, signal.SIGKILL)


async def runs(world: Project, file: Path, events: list[Event]) -> None:
    with anyio.fail_after(20):
        async with supervising(world, file, events) as supervisor:
            await supervisor["fake"].wait_ready()


@pytest.mark.parametrize("text", [b"", b'{"run_id": "3f', b"\xff\x00", b"[]"])
async def test_a_torn_run_record_is_told_and_does_not_keep_the_server_from_starting(
    text: bytes, world: Project
) -> None:
    events: list[Event] = []
    file = configure(world)
    leave_a_record(world, file, lambda lock: lock.record_path.write_bytes(text))
    await runs(world, file, events)
    (told,) = notices(events, "orphans_removed")
    assert "cannot be read" in told


@pytest.mark.parametrize("changed", [{"boot_id": "of another machine"}, {"start_time": 1.0}], ids=str)
async def test_a_run_record_of_another_machine_boot_or_process_kills_nobody(
    changed: dict[str, Any], world: Project, bystander: int
) -> None:
    file = configure(world)
    temporary = world.tmp / "of the former run"
    temporary.mkdir()

    def write(lock: NameLock) -> None:
        record = RunRecord.begin("run", "there", "fake", argv=["serve"], temporary=[temporary])
        record = structs.replace(record, pid=bystander, start_time=start_time(bystander), supervisor_pid=1)
        RunStore(world.directories).write(lock, structs.replace(record, **changed))

    events: list[Event] = []
    leave_a_record(world, file, write)
    await runs(world, file, events)
    assert "processes: none" in notices(events, "orphans_removed")[0]
    assert not temporary.exists()


async def test_a_state_directory_that_is_full_before_the_spawn_spawns_nothing(
    world: Project, mounts: Mounts
) -> None:
    events: list[Event] = []
    disk = mounts.small(world.directories.state, "64k")
    fill(disk)
    error = await failure_of(world, configure(world, restart=ONCE), EnvironmentSetupFailed, events)
    assert NO_ROOM in error.message
    assert "make room" in error.context.hint
    assert not any(isinstance(event, Spawned) for event in events)
    (disk / "ballast").unlink()


@dataclass(eq=False)
class FillUp:
    """Leaves two pages: the record fits in it before the spawn, and not with what is added after it."""

    disk: Path

    @hookimpl(trylast=True)
    async def pre_spawn(self, launch: Launch) -> None:
        fill(self.disk, leave=8192)
        launch.defer((self.disk / "ballast").unlink)


async def test_a_state_directory_that_is_full_after_the_spawn_ends_what_was_spawned(
    world: Project, mounts: Mounts
) -> None:
    events: list[Event] = []
    disk = mounts.small(world.directories.state, "64k")
    file = configure(world, "--print", "x" * 6000, restart=ONCE)
    error = await failure_of(world, file, EnvironmentSetupFailed, events, fill=FillUp(disk))
    assert NO_ROOM in error.message
    assert "the run record" in error.message
    assert "make room" in error.context.hint
    (exit_,) = (event.exit for event in events if isinstance(event, Exited))
    assert exit_.pid is not None
    assert exit_.killed


async def test_a_state_directory_that_is_full_later_hurts_neither_the_run_nor_its_end(
    world: Project, mounts: Mounts
) -> None:
    disk = mounts.small(world.directories.state, "64k")

    with anyio.fail_after(30):
        async with supervising(world, configure(world)) as supervisor:
            server = supervisor["fake"]
            await server.wait_ready()
            ballast = fill(disk)
            await server.stop()
            assert (server.state, server.error) == (State.STOPPED, None)
            ballast.unlink()


async def test_a_state_directory_that_is_deleted_hurts_neither_the_run_nor_the_next(world: Project) -> None:
    with anyio.fail_after(30):
        async with supervising(world, configure(world, restart=QUICK)) as supervisor:
            server = supervisor["fake"]
            await server.wait_ready()
            shutil.rmtree(world.directories.state)
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await server.until(lambda: server.generation == 2 and server.usable)
            await server.stop()
            assert world.processes() == {}


async def test_a_state_directory_that_is_out_of_reach_is_told_at_the_next_start(world: Project) -> None:
    state = world.directories.state

    with anyio.fail_after(30):
        async with supervising(world, configure(world, restart=QUICK)) as supervisor:
            server = supervisor["fake"]
            await server.wait_ready()
            state.rename(state.with_name("elsewhere"))
            state.symlink_to(state)  # a loop: not even root can look what is there
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await server.until(lambda: server.state is State.FAILED)
            assert isinstance(server.error, EnvironmentSetupFailed)
            assert f"the directory {state / 'runs'} cannot be used: " in str(server.error)
            assert server.error.context.hint

    assert world.processes() == {}
    state.unlink()
    state.with_name("elsewhere").rename(state)
    await runs(world, configure(world), [])


async def test_of_two_hostlers_with_one_state_directory_only_one_runs_the_server(world: Project) -> None:
    file = configure(world)

    with anyio.fail_after(30):
        async with supervising(world, file) as first:
            await first["fake"].wait_ready()
            other = world.hostler("run", file)
            assert await anyio.to_thread.run_sync(other.end) == 1
            told = "\n".join(other.err)
            assert f"(pid {os.getpid()})" in told
            assert first["fake"].usable

    await runs(world, file, [])
