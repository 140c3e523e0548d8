"""Health plugins that hang, block, report nonsense or outlive their run."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest
from hostler import (
    Directories,
    Event,
    Healthy,
    Notice,
    PluginFailed,
    PluginSpec,
    Report,
    Supervisor,
    hookimpl,
)
from specs import MakeSpec, announced


def with_plugin(plugin: object) -> tuple[PluginSpec, ...]:
    return (announced(), PluginSpec("odd", instance=plugin))


@dataclass(eq=False)
class Stubborn:
    """A health plugin that goes on after it was asked to end, or to be closed."""

    swallows: bool = False
    ignores_close: bool = False
    nonsense: bool = False
    yields: int = field(init=False, default=0)
    twice: anyio.Event = field(init=False, default_factory=anyio.Event)

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        self.yields += 1
        self.twice.set() if self.yields == 2 else None
        yield Healthy()

        if self.nonsense:
            try:
                yield "all is well"  # type: ignore[misc]
            finally:
                if self.ignores_close:
                    yield Healthy()

        while True:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                if not self.swallows:
                    raise
            self.yields += 1
            try:
                yield Healthy()
            except GeneratorExit:
                if not self.ignores_close:
                    raise
                self.ignores_close = False  # or Python itself complains when it forgets this one


@pytest.mark.parametrize("plugin", [Stubborn(swallows=True), Stubborn(swallows=True, ignores_close=True)])
async def test_a_health_plugin_that_yields_after_the_end_is_closed(
    make_spec: MakeSpec, directories: Directories, plugin: Stubborn
) -> None:
    async with Supervisor(make_spec(plugins=with_plugin(plugin)), directories=directories) as supervisor:
        await supervisor["fake"].wait_ready(10)
        began = time.monotonic()
        await supervisor["fake"].stop()
        assert time.monotonic() - began < 1
        yields = plugin.yields
        await asyncio.sleep(0.1)
        assert plugin.yields == yields


@pytest.mark.parametrize("ignores_close", [False, True])
async def test_a_health_plugin_that_yields_nonsense_is_unknown_and_started_again(
    make_spec: MakeSpec, directories: Directories, ignores_close: bool
) -> None:
    plugin = Stubborn(nonsense=True, ignores_close=ignores_close)
    async with Supervisor(make_spec(plugins=with_plugin(plugin)), directories=directories) as supervisor:
        server = supervisor["fake"]
        with anyio.fail_after(10):
            await server.until(lambda: server.health == "unknown")
            await plugin.twice.wait()


@dataclass(eq=False)
class Blocks:
    """A health plugin that keeps the event loop to itself."""

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        time.sleep(0.3)  # noqa: ASYNC251 - what must not be done
        yield Healthy()


async def test_a_health_plugin_that_blocks_the_loop_is_named_and_has_not_failed(
    make_spec: MakeSpec, directories: Directories
) -> None:
    events: list[Event] = []
    async with Supervisor(make_spec(plugins=with_plugin(Blocks())), directories=directories) as supervisor:
        supervisor.listen(events.append)
        await supervisor["fake"].wait_ready(10)
    (told,) = [event for event in events if isinstance(event, Notice) and event.topic == "plugin_slow"]
    assert (told.details["plugin"], told.details["hook"]) == ("odd", "health_check")
    assert "plugin odd blocked the event loop" in told.text
    assert [event for event in events if isinstance(event, PluginFailed)] == []


async def test_health_tasks_end_when_the_loop_is_torn_down_hard(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Stubborn()
    supervisor = Supervisor(make_spec(plugins=with_plugin(plugin)), directories=directories)
    await supervisor.__aenter__()
    await supervisor["fake"].wait_ready(10)
    assert supervisor._engine is not None
    supervisor._engine.cancel()

    with suppress(asyncio.CancelledError):
        await supervisor._engine

    yields = plugin.yields
    await asyncio.sleep(0.1)
    assert plugin.yields <= yields + 1
