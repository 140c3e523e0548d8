"""What was left is on a disk that hangs: neither a stop nor a start waits for it without end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
from cli_project import Project, eventually
from fault_setup import ONCE, Mounts, configure, failure_of, frozen, notices, supervising
from hostler import EnvironmentSetupFailed, Event, Launch, ProcessAlreadyRunning, State, hookimpl
from hostler.process.disk.lock import NameLock
from hostler.process.disk.run_record import RunRecord, RunStore

pytestmark = pytest.mark.usefixtures("nothing_is_left")


@pytest.fixture
def disk(world: Project, mounts: Mounts) -> Iterator[Path]:
    """A disk in one of hostler's own folders; in the end nothing is left on it."""
    disk = mounts.freezable(world.directories.cache / "disk", world.home / "image")
    yield disk
    eventually(lambda: [path.name for path in disk.iterdir()] == ["lost+found"])


def leave(world: Project, namespace: str | None, folder: Path) -> None:
    """A run that a killed hostler left, with a temporary folder."""
    folder.mkdir()
    assert namespace is not None
    lock = NameLock.take(world.directories, namespace, "fake")
    record = RunRecord.begin("0" * 32, namespace, "fake", argv=["x"], temporary=[folder])
    RunStore(world.directories).write(lock, record)
    lock.path.unlink()  # as a killed one lets go: the record stays
    lock.release()


@dataclass(eq=False)
class Leaves:
    """Has a temporary folder."""

    folder: Path

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        launch.remove_at_end(self.folder)
        self.folder.mkdir()


async def test_a_stop_does_not_wait_without_end_for_a_disk_that_hangs(
    world: Project, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostler.runtime.cleanup._REMOVE_SECONDS", 0.5)  # not 30 s, for a test's sake
    events: list[Event] = []
    folder = disk / "temporary"
    async with supervising(world, configure(world), events, leaves=Leaves(folder)) as supervisor:
        await supervisor["fake"].wait_ready(20)
        with frozen(disk), anyio.fail_after(10):
            await supervisor["fake"].stop()
            assert supervisor["fake"].state is State.STOPPED

    assert f"{folder} may be left behind: removing it takes too long" in notices(events, "cleanup_failed")


async def test_a_start_does_not_wait_without_end_for_what_another_server_left(
    world: Project, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostler.runtime.cleanup._SWEEP_SECONDS", 0.5)
    events: list[Event] = []
    leave(world, "another configuration", disk / "temporary")

    with frozen(disk), anyio.fail_after(20):
        async with supervising(world, configure(world), events) as supervisor:
            await supervisor["fake"].wait_ready()

    (told,) = notices(events, "orphans_removed")
    assert "takes too long and continues in the background" in told
    eventually(lambda: world.records() == [])


async def test_a_server_whose_own_leftovers_hang_says_so(
    world: Project, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostler.runtime.cleanup._SWEEP_SECONDS", 0.5)
    monkeypatch.setattr("hostler.process.disk.lock._CLEANUP_TIMEOUT", 0.5)
    file = configure(world, restart=ONCE)
    leave(world, world.load(file).namespace, disk / "temporary")
    with frozen(disk):
        error = await failure_of(world, file, ProcessAlreadyRunning)
    assert "still cleans up behind one that was killed" in error.message
    eventually(lambda: world.records() == [])


async def test_leftovers_that_hang_while_the_server_is_started_end_the_start_in_its_time(
    world: Project, disk: Path
) -> None:
    twice = {**ONCE, "start_retries": 1, "initial_delay": "10ms"}
    file = configure(world, restart=twice, autostart=False, prepare_timeout="1s")
    async with supervising(world, file) as supervisor:
        await anyio.sleep(0.2)  # the supervisor has looked for leftovers, and found none
        leave(world, world.load(file).namespace, disk / "temporary")
        with frozen(disk), anyio.fail_after(20):
            with pytest.raises(EnvironmentSetupFailed, match="took longer than prepare_timeout"):
                await supervisor["fake"].start()
            assert supervisor["fake"].state is State.FAILED
            assert supervisor["fake"].restarts == 1  # the second try does not pass them by
        await supervisor["fake"].start()  # what was left is still on record
        await supervisor["fake"].wait_ready(20)
