"""A host program that blocks the event loop."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field

import anyio
import pytest
from cli_project import NOTHING, Project, five_plugins
from fault_setup import supervising
from hostler import (
    Directories,
    Event,
    HealthReported,
    Notice,
    PluginFailed,
    PluginSpec,
    State,
    StateChanged,
    Supervisor,
    hookimpl,
)
from specs import MakeSpec, announced

NERVOUS: tuple[PluginSpec, ...] = (
    announced(),
    PluginSpec("sse-health", {"stall_timeout": "400ms", "reconnect": "20ms", "max_reconnect": "50ms"}),
)

BEATS = ("--heartbeat", "0.1")


def complaints(events: list[Event]) -> list[Event]:
    """What would tell of a fault where there is none."""
    bad = {State.CRASHED, State.BACKOFF, State.FAILED}
    return [
        event
        for event in events
        if (isinstance(event, HealthReported) and event.healthy is not True)
        or (isinstance(event, StateChanged) and event.state in bad)
        or (isinstance(event, Notice) and event.topic != "plugin_slow")  # true when busy
        or isinstance(event, PluginFailed)
    ]


async def test_a_host_that_blocks_the_loop_for_long_makes_no_healthy_server_ill(
    make_spec: MakeSpec, directories: Directories
) -> None:
    events: list[Event] = []
    spec = make_spec(*BEATS, plugins=NERVOUS, max_connection_failures=1)
    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(events.append)
        await supervisor["fake"].wait_ready(20)
        for _ in range(2):
            time.sleep(1.0)  # noqa: ASYNC251 - twice the silence that counts as stalled
            await asyncio.sleep(0.2)
        assert supervisor["fake"].generation == 1

    assert complaints(events) == []


TICKS = "import time\nfor n in range(10**6): print(f'tick {n}', flush=True); time.sleep(0.01)"


async def test_five_seconds_of_a_blocked_loop_change_nothing_with_the_settings_as_they_are(
    world: Project,
) -> None:
    events: list[Event] = []
    fake = world.fake_table("--heartbeat", "0.3", "--password-from-env", plugins=five_plugins(sse_health={}))
    ticking = {"command": [sys.executable, "-c", TICKS], "port": False, "plugins": {"log-rotation": True}}
    async with supervising(world, world.configure(fake=fake, ticks=ticking), events) as supervisor:
        with anyio.fail_after(20):
            await supervisor.wait_ready()
        time.sleep(5.0)  # noqa: ASYNC251 - what a host may do
        assert world.logged("ticks.log").count("tick") > 200  # the output was read meanwhile
        await asyncio.sleep(0.5)
        assert [(server.state, server.generation) for server in supervisor.servers.values()] == [
            (State.RUNNING, 1),
            (State.RUNNING, 1),
        ]

    assert complaints(events) == []
    assert world.logged("ticks.log").splitlines() == [
        f"tick {number}" for number in range(world.logged("ticks.log").count("\n"))
    ]
    assert world.what_is_left() == NOTHING


@dataclass(eq=False)
class TakesAMoment:
    """Needs a moment in every hook, and tells when it has begun."""

    on_hook: Callable[[str], None]
    done: list[str] = field(default_factory=list)

    @hookimpl
    async def on_ready(self) -> None:
        await self._work("on_ready")

    @hookimpl
    async def on_shutdown(self) -> None:
        await self._work("on_shutdown")

    async def _work(self, hook: str) -> None:
        self.on_hook(hook)
        await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)
        self.done.append(hook)


async def test_a_hook_is_not_blamed_for_the_time_in_which_the_host_blocked_the_loop(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostler.plugins.host._HOOK_SECONDS", 0.5)  # not 5 s, for a test's sake
    monkeypatch.setattr("hostler.plugins.host._SHUTDOWN_SECONDS", 0.5)
    events: list[Event] = []

    def block_soon(_: str) -> None:
        asyncio.get_running_loop().call_later(0.01, time.sleep, 1.5)

    plugin = TakesAMoment(block_soon)
    spec = make_spec(plugins=(announced(), PluginSpec("moment", instance=plugin)))
    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(events.append)
        await supervisor["fake"].wait_ready(20)
        await asyncio.sleep(0.2)

    assert plugin.done == ["on_ready", "on_shutdown"]
    assert complaints(events) == []


async def test_a_crash_while_the_host_blocks_the_loop_is_seen_as_soon_as_it_runs_again(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec(*BEATS, plugins=NERVOUS), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        os.kill(server.pid or 0, signal.SIGKILL)
        time.sleep(1.5)  # noqa: ASYNC251 - what a host may do
        began = time.monotonic()
        await server.until(lambda: server.state is State.CRASHED)
        assert time.monotonic() - began < 0.5
        await server.wait_ready(20)
        assert server.generation == 2
