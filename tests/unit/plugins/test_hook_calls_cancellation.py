"""A host that is cancelled while a hook runs."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import anyio
import pytest
from hosted_plugins import (
    RecordingPlugin,
    do_nothing,
    host_plugins,
    ignore_cancellation,
    plugin_with,
    raise_error,
    until,
)
from hostler.testing import FakeServerContext

SERVER = FakeServerContext("web")


@dataclass
class Long:
    """A hook that waits, and what became of it."""

    started: asyncio.Event = field(default_factory=asyncio.Event)
    seen: list[str] = field(default_factory=list)

    async def run(self) -> None:
        self.started.set()
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            await asyncio.sleep(0.05)
            self.seen.append("cancelled")
            raise


async def test_a_cancelled_host_cancels_the_hook_and_is_cancelled() -> None:
    long, calls = Long(), list[str]()
    hosted = host_plugins(long=plugin_with("on_ready", long.run), after=RecordingPlugin("after", calls))
    task = asyncio.create_task(hosted.plugins.on_ready(SERVER, None))
    await long.started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert long.seen == ["cancelled"]
    assert calls == []
    assert hosted.failures == []
    stats = hosted.plugins.stats["long", "on_ready"]
    assert (stats.calls, stats.failures) == (1, 0)


async def test_a_host_that_is_cancelled_twice_is_cancelled_at_once_and_the_hook_still_ends() -> None:
    long = Long()
    hosted = host_plugins(long=plugin_with("on_ready", long.run))
    task = asyncio.create_task(hosted.plugins.on_ready(SERVER, None))
    await long.started.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert long.seen == []

    await until(lambda: bool(long.seen))

    assert hosted.failures == []


async def test_a_scope_of_the_host_cancels_the_hook() -> None:
    long = Long()
    hosted = host_plugins(long=plugin_with("on_ready", long.run))
    with anyio.move_on_after(0.1) as scope:
        await hosted.plugins.on_ready(SERVER, None)
    assert scope.cancelled_caught
    assert long.seen == ["cancelled"]


async def test_a_hook_cannot_keep_its_host_from_being_cancelled() -> None:
    seen: list[str] = []
    hosted = host_plugins(deaf=plugin_with("on_ready", lambda: ignore_cancellation(3, seen)))
    started = time.monotonic()

    with anyio.move_on_after(0.1) as scope:
        await hosted.plugins.on_ready(SERVER, None)

    assert scope.cancelled_caught
    assert time.monotonic() - started < 2.9
    assert hosted.reasons == ["was cancelled and swallowed its cancellation: it is left running"]

    await until(lambda: "ended" in seen)


async def test_a_hook_cancelled_before_its_first_step_leaves_no_trace() -> None:
    hosted = host_plugins(a=plugin_with("on_ready", do_nothing))
    task = asyncio.create_task(hosted.plugins.on_ready(SERVER, None))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def test_a_loop_that_is_closed_over_a_running_hook_closes_it() -> None:
    seen: list[str] = []

    async def hang() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            seen.append("closed")

    hosted = host_plugins(hang=plugin_with("on_ready", hang))

    async def leave() -> None:
        task = asyncio.create_task(hosted.plugins.on_ready(SERVER, None))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0)

    asyncio.run(leave())
    assert seen == ["closed"]


def test_system_exit_in_a_hook_does_not_end_the_loop() -> None:
    hosted = host_plugins(a=plugin_with("on_ready", lambda: raise_error(SystemExit(7))))
    asyncio.run(hosted.plugins.on_ready(SERVER, None))
    assert hosted.reasons == ["raised SystemExit(7)"]
