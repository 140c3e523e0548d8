"""A server is ready, unhealthy or failed as its health plugins report."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field, replace

import anyio
import anyio.lowlevel
import pytest
from hostler import (
    Directories,
    Endpoint,
    Event,
    Exit,
    ExitCause,
    HealthReported,
    Healthy,
    InvalidConfiguration,
    Launch,
    PluginError,
    PluginFailed,
    PluginSpec,
    Report,
    ServerCrashed,
    ServerView,
    StartupTimeout,
    State,
    Unhealthy,
    hookimpl,
)
from specs import QUICK, MakeSpec, announced
from supervised_servers import reaches_failed, supervised

REGEX = announced()
NO_RETRY = replace(QUICK, start_retries=0)


@dataclass(eq=False)
class Says:
    """A health plugin that yields what it is told, and then waits."""

    reports: list[Report | str]
    again: bool = False
    closed: bool = field(init=False, default=False)
    crashes: list[Exit] = field(init=False, default_factory=list)

    @hookimpl
    async def health_check(self, endpoint: Endpoint | None) -> AsyncGenerator[Report, None]:
        try:
            for report in self.reports:
                if isinstance(report, str):
                    raise RuntimeError(report)  # noqa: TRY004 - what plugins raise
                yield report
            await anyio.sleep_forever()
        finally:
            self.closed = True

    @hookimpl
    async def on_crash(self, exit: Exit) -> None:
        self.crashes.append(exit)


def with_health(plugin: object) -> tuple[PluginSpec, ...]:
    return (REGEX, PluginSpec("says", instance=plugin))


async def test_ready_waits_for_the_first_healthy_report(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Says([Unhealthy("not yet"), Unhealthy("not yet"), Unhealthy("not yet"), Healthy()])
    async with supervised(make_spec(plugins=with_health(plugin)), directories) as supervisor:
        await supervisor["fake"].wait_ready(10)
        assert supervisor["fake"].health == "healthy"
        assert supervisor["fake"].generation == 1
    assert plugin.closed


@dataclass(eq=False)
class WarmsUp:
    """A health plugin with a warm-up on a thread; `was_warm` says how far that was at the health check."""

    seconds: float
    warm: bool = False
    was_warm: bool | None = None

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        launch.warm_up(self.warm_up)

    def warm_up(self) -> None:
        time.sleep(self.seconds)
        self.warm = True

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        self.was_warm = self.warm
        yield Healthy()


async def test_health_checks_begin_only_after_the_warm_ups(
    make_spec: MakeSpec, directories: Directories
) -> None:
    """Else a check waits, with the event loop, for the thread that imports what the check needs."""
    plugin = WarmsUp(seconds=2.0)
    async with supervised(make_spec(plugins=with_health(plugin)), directories) as supervisor:
        await supervisor["fake"].wait_ready(20)
        assert plugin.was_warm


@pytest.mark.parametrize(("longest", "startup_timeout"), [(0.2, 60.0), (60.0, 6.0)])
async def test_a_warm_up_that_hangs_delays_the_health_checks_for_a_while_only(
    longest: float,
    startup_timeout: float,
    make_spec: MakeSpec,
    directories: Directories,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("hostler.engine.run._LONGEST_WARM_UP", longest)
    plugin = WarmsUp(seconds=5.0)
    spec = make_spec(plugins=with_health(plugin), startup_timeout=startup_timeout)
    async with supervised(spec, directories) as supervisor:
        await supervisor["fake"].wait_ready(20)
        assert plugin.was_warm is False


@pytest.mark.requirement("R22")
async def test_failures_in_a_row_past_the_limit_are_a_crash(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Says([Healthy(), Unhealthy("a"), Unhealthy("b"), Healthy(), *[Unhealthy("gone")] * 3])
    policy = replace(QUICK, max_restarts=0)
    spec = make_spec(plugins=with_health(plugin), restart=policy)
    async with supervised(spec, directories) as supervisor:
        with pytest.raises(ServerCrashed, match=r"gone \(3 times in a row\)"):
            await reaches_failed(supervisor["fake"])

    assert plugin.crashes[0].cause is ExitCause.UNHEALTHY
    assert plugin.crashes[0].unhealthy == Unhealthy("gone")
    assert plugin.crashes[0].killed


class SeesTheEnd:
    """A health plugin whose connection breaks off because the server has been killed."""

    @hookimpl
    async def health_check(
        self, server: ServerView, endpoint: Endpoint | None
    ) -> AsyncGenerator[Report, None]:
        yield Healthy()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        yield Unhealthy("the connection broke off")
        await anyio.sleep_forever()


async def test_what_only_follows_from_an_exit_is_not_reported(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec(plugins=with_health(SeesTheEnd()), restart=replace(QUICK, max_restarts=0))
    events: list[Event] = []
    async with supervised(spec, directories) as supervisor:
        supervisor.listen(events.append)
        with pytest.raises(ServerCrashed, match="SIGKILL"):
            await reaches_failed(supervisor["fake"])
    assert [one.healthy for one in events if isinstance(one, HealthReported)] == [True]


async def test_a_fatal_report_restarts_at_once(make_spec: MakeSpec, directories: Directories) -> None:
    plugin = Says([Healthy(), Unhealthy("too much memory", fatal=True)])
    spec = make_spec(plugins=with_health(plugin), restart=replace(QUICK, max_restarts=1))
    async with supervised(spec, directories) as supervisor:
        with pytest.raises(ServerCrashed, match="too much memory"):
            await reaches_failed(supervisor["fake"])
        assert supervisor["fake"].generation == 2


async def test_a_permanent_report_gives_up_at_once(make_spec: MakeSpec, directories: Directories) -> None:
    error = InvalidConfiguration("opencode.json is broken")
    plugin = Says([Unhealthy("broken", permanent=True, error=error)])
    async with supervised(make_spec(plugins=with_health(plugin)), directories) as supervisor:
        with pytest.raises(InvalidConfiguration, match="opencode.json is broken"):
            await supervisor["fake"].wait_ready(10)
        assert supervisor["fake"].generation == 1


async def test_the_last_complaint_is_the_reason_of_the_timeout(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Says([Unhealthy("503 from /event")])
    spec = make_spec(plugins=with_health(plugin), startup_timeout=0.6, restart=NO_RETRY)
    async with supervised(spec, directories) as supervisor:
        with pytest.raises(StartupTimeout, match="503 from /event"):
            await supervisor["fake"].wait_ready(10)


async def test_a_health_plugin_that_fails_before_ready_is_named(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec(plugins=with_health(Says(["kaput"])), startup_timeout=0.6, restart=NO_RETRY)
    async with supervised(spec, directories) as supervisor:
        with pytest.raises(PluginError, match=r"plugin says failed: RuntimeError: kaput"):
            await supervisor["fake"].wait_ready(10)


async def test_a_health_plugin_that_fails_later_leaves_the_server_running(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Says([Healthy(), "kaput"])
    async with supervised(make_spec(plugins=with_health(plugin)), directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        with anyio.fail_after(5):
            await server.until(lambda: server.health == "unknown")
        assert server.state is State.RUNNING


@dataclass(eq=False)
class Floods:
    """Reports without ever waiting."""

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        while True:
            yield Healthy()


async def test_a_health_plugin_that_floods_is_slowed_down_and_named(
    make_spec: MakeSpec, directories: Directories
) -> None:
    events: list[Event] = []
    async with supervised(make_spec(plugins=with_health(Floods())), directories, events) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        with anyio.fail_after(5):
            await server.until(lambda: server.state is State.RUNNING)
            await server.stop()

    failed = [event for event in events if isinstance(event, PluginFailed)]
    assert [(event.plugin, event.hook) for event in failed] == [("says", "health_check")]
    assert "floods" in failed[0].reason
