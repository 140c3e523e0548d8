"""A host that is cancelled while a hook runs."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field

import anyio
import pytest
from hostler.testing import FakeServerContext
from plugin_calls import Noting, nothing, raise_it, swallow, telling, together, until

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
    heard = together(long=telling("on_ready", long.run), after=Noting("after", calls))
    task = asyncio.create_task(heard.plugins.on_ready(SERVER, None))
    await long.started.wait()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert long.seen == ["cancelled"]
    assert calls == []
    assert heard.failures == []
    stats = heard.plugins.stats["long", "on_ready"]
    assert (stats.calls, stats.failures) == (1, 0)


async def test_a_host_that_is_cancelled_twice_is_cancelled_at_once_and_the_hook_still_ends() -> None:
    long = Long()
    heard = together(long=telling("on_ready", long.run))
    task = asyncio.create_task(heard.plugins.on_ready(SERVER, None))
    await long.started.wait()
    task.cancel()
    await asyncio.sleep(0)
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task

    assert long.seen == []

    await until(lambda: bool(long.seen))

    assert heard.failures == []


async def test_a_scope_of_the_host_cancels_the_hook() -> None:
    long = Long()
    heard = together(long=telling("on_ready", long.run))
    with anyio.move_on_after(0.1) as scope:
        await heard.plugins.on_ready(SERVER, None)
    assert scope.cancelled_caught
    assert long.seen == ["cancelled"]


async def test_a_hook_cannot_keep_its_host_from_being_cancelled() -> None:
    seen: list[str] = []
    heard = together(deaf=telling("on_ready", lambda: swallow(3, seen)))
    started = time.monotonic()

    with anyio.move_on_after(0.1) as scope:
        await heard.plugins.on_ready(SERVER, None)

    assert scope.cancelled_caught
    assert time.monotonic() - started < 2.9
    assert heard.reasons == ["was cancelled and swallowed its cancellation: it is left running"]

    await until(lambda: "ended" in seen)


async def test_a_hook_cancelled_before_its_first_step_leaves_no_trace() -> None:
    heard = together(a=telling("on_ready", nothing))
    task = asyncio.create_task(heard.plugins.on_ready(SERVER, None))
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

    heard = together(hang=telling("on_ready", hang))

    async def leave() -> None:
        task = asyncio.create_task(heard.plugins.on_ready(SERVER, None))
        await asyncio.sleep(0.01)
        task.cancel()
        await asyncio.sleep(0)

    asyncio.run(leave())
    assert seen == ["closed"]


def test_system_exit_in_a_hook_does_not_end_the_loop() -> None:
    heard = together(a=telling("on_ready", lambda: raise_it(SystemExit(7))))
    asyncio.run(heard.plugins.on_ready(SERVER, None))
    assert heard.reasons == ["raised SystemExit(7)"]
