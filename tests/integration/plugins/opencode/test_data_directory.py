"""Servers that share a data directory start one after the other, until a first one got through."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from hostler import EnvironmentSetupFailed, Launch
from hostler_plugins.opencode import OpenCode
from hostler_plugins.opencode.data_directory import FirstStart
from hostler_plugins.opencode.file_lock import take_lock
from opencode_binaries import NEWEST, opencode_binary
from opencode_context import Context, a_launch, clean_up, spawned

HOLDER = """
import fcntl, sys
file = open(sys.argv[1], "a")
fcntl.flock(file, fcntl.LOCK_EX)
sys.stdout.write("held\\n"); sys.stdout.flush()
sys.stdin.read()
"""


def nothing() -> None:
    """Nobody needs to be told."""


def lease(tmp_path: Path, version: str = "1.2.3") -> FirstStart:
    (tmp_path / "data").mkdir(exist_ok=True)
    return FirstStart(tmp_path / "data", tmp_path, version)


async def is_free(start: FirstStart) -> bool:
    """Whether a start gets through at once."""
    try:
        with anyio.fail_after(0.2):
            await start.take(nothing)
    except TimeoutError:
        return False
    return True


async def test_the_second_waits_until_the_first_is_ready(tmp_path: Path) -> None:
    first, second, third = lease(tmp_path), lease(tmp_path), lease(tmp_path)
    told: list[str] = []
    await first.take(nothing)

    async def wait() -> None:
        await second.take(lambda: told.append("waiting"))
        told.append("through")

    with anyio.fail_after(10):
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            await anyio.wait_all_tasks_blocked()
            assert told == ["waiting"]
            first.ready()

    assert told == ["waiting", "through"]
    assert await is_free(third)
    second.release()
    second.release()


async def test_a_start_that_failed_lets_the_next_one_try_alone(tmp_path: Path) -> None:
    first, second, third = lease(tmp_path), lease(tmp_path), lease(tmp_path)
    await first.take(nothing)
    first.release()
    assert await is_free(second)
    assert not await is_free(third)
    second.release()


async def test_a_cancelled_wait_gives_the_lock_back(tmp_path: Path) -> None:
    first, second, third = lease(tmp_path), lease(tmp_path), lease(tmp_path)
    await first.take(nothing)
    assert not await is_free(second)
    first.release()
    with anyio.fail_after(10):
        await third.take(nothing)
    third.release()


async def test_a_new_version_and_a_data_directory_that_was_made_anew_are_alone_again(tmp_path: Path) -> None:
    first = lease(tmp_path)
    await first.take(nothing)
    (tmp_path / "data" / "opencode.db").touch()
    first.ready()
    newer, holder = lease(tmp_path, "1.2.4"), lease(tmp_path, "1.2.4")
    await newer.take(nothing)
    assert not await is_free(holder)
    newer.release()

    shutil.rmtree(tmp_path / "data")
    anew, other = lease(tmp_path), lease(tmp_path)
    await anew.take(nothing)
    assert not await is_free(other)
    anew.release()


async def test_a_lock_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentSetupFailed, match="no lock can be made"):
        await FirstStart(tmp_path, tmp_path / "gone", "").take(nothing)


async def test_another_process_is_waited_for_without_blocking_the_loop(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    ticks = 0
    waiting = anyio.Event()

    async with await anyio.open_process([sys.executable, "-c", HOLDER, str(path)], stderr=None) as holder:
        assert holder.stdout is not None
        assert holder.stdin is not None
        assert await holder.stdout.receive()
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:

                async def take() -> None:
                    (await take_lock(path, waiting.set)).release()

                tasks.start_soon(take)
                await waiting.wait()
                for _ in range(5):  # the loop goes on
                    await anyio.lowlevel.checkpoint()
                    ticks += 1
                await holder.stdin.aclose()

    assert ticks == 5


def test_a_lock_ends_with_the_process_that_held_it(tmp_path: Path) -> None:
    path = tmp_path / "lock"
    command = [sys.executable, "-c", HOLDER, str(path)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        holder.kill()

    async def take() -> bool:
        with anyio.fail_after(10):
            lock = await take_lock(path)
        with lock:
            return lock.held

    assert anyio.run(take)


@pytest.mark.opencode
async def test_four_servers_on_one_fresh_data_directory_all_start(view: Context) -> None:
    """Without the turns, one to three of them fail with "CREATE TABLE"."""
    views = [Context(view.root, view.reader, name=f"oc{number}") for number in range(4)]
    running: list[str] = []

    async def start(one: Context) -> None:
        plugin = OpenCode(binary=opencode_binary(NEWEST), offline=True)
        launch = a_launch(one)
        await plugin.pre_spawn(one, launch)
        await anyio.to_thread.run_sync(run_it, one, launch, running.append)
        await plugin.on_ready(one, None)
        clean_up(launch)

    with anyio.fail_after(120):
        async with anyio.create_task_group() as tasks:
            for one in views:
                tasks.start_soon(start, one)

    assert sorted(running) == ["oc0", "oc1", "oc2", "oc3"]
    assert any("another OpenCode" in text for one in views for text in one.progressed)


def run_it(view: Context, launch: Launch, done: Callable[[str], None]) -> None:

    with spawned(view, launch):
        done(view.name)
