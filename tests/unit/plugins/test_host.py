"""What a plugin may ask of its server: a restart, and work that outlives one."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest
from hostler import (
    Directories,
    Event,
    Launch,
    Notice,
    PluginSpec,
    RestartPolicy,
    RestartScheduled,
    ServerView,
    State,
    StateChanged,
    Supervisor,
    hookimpl,
)
from specs import MakeSpec, announced


@dataclass(eq=False)
class Wishful:
    """Keeps its server to itself, and has something run over restarts."""

    view: ServerView | None = field(init=False, default=None)
    lasting: list[str] = field(init=False, default_factory=list)

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        if self.view is None:
            server.start_soon(self._last, over_restarts=True)
        self.view = server

    async def _last(self) -> None:
        self.lasting.append("begun")
        try:
            await asyncio.Event().wait()
        finally:
            self.lasting.append("ended")


Make = Callable[[], tuple[Supervisor, Wishful, list[Event]]]


@pytest.fixture
def make(make_spec: MakeSpec, directories: Directories) -> Make:
    def made() -> tuple[Supervisor, Wishful, list[Event]]:
        plugin, events = Wishful(), list[Event]()
        plugins = (announced(), PluginSpec("wishful", instance=plugin))
        spec = make_spec(plugins=plugins)
        supervisor = Supervisor(spec, directories=directories)
        supervisor.listen(events.append)
        return supervisor, plugin, events

    return made


async def test_a_restart_that_a_plugin_asks_for_is_in_order_and_uses_none_up(make: Make) -> None:
    supervisor, plugin, events = make()
    async with supervisor:
        (server,) = supervisor.servers.values()
        await server.wait_ready(20)
        assert plugin.view is not None
        plugin.view.ask_restart("the file has changed")
        plugin.view.ask_restart("and another")
        await server.until(lambda: server.generation == 2)
        await server.wait_ready(20)
        assert (server.generation, server.restarts, server._engine.status.budget.used) == (2, 0, 0)

    told = [event.text for event in events if isinstance(event, Notice) and event.topic == "restart_asked"]
    assert told == ["restart requested: the file has changed"]
    assert not [event for event in events if isinstance(event, RestartScheduled)]
    states = [event.state for event in events if isinstance(event, StateChanged)]
    assert State.CRASHED not in states
    assert states.count(State.STOPPING) == 2


@pytest.mark.parametrize("how", ["plugin", "restart", "reload"])
async def test_a_planned_restart_is_no_first_start(
    make_spec: MakeSpec, directories: Directories, how: str
) -> None:
    """The policy of running servers holds for it: it has been ready before."""
    policy = RestartPolicy(max_restarts=2, initial_delay=0.0, start_retries=0)
    spec = make_spec(restart=policy)
    once = 'test -e begun && exit 3; touch begun; exec "$@"'
    spec = replace(spec, command=("sh", "-c", once, "sh", *spec.command))
    async with asyncio.timeout(20), Supervisor(spec, directories=directories) as supervisor:
        (server,) = supervisor.servers.values()
        await server.wait_ready()
        if how == "plugin":
            server._engine.ask_restart("a test")
        elif how == "restart":
            await server.restart()
        else:
            await supervisor.reload(replace(spec, title="another"))
        await server.until(lambda: server.state is State.FAILED)
        assert [crash.restarts_allowed for crash in server.crashes] == [2, 2, 2]
        assert server.crashes[-1].decision == "gave up after 2 restarts"
        await server.stop()

        await server.start()
        await server.until(lambda: server.state is State.FAILED)
        assert server.crashes[-1].decision == "it never became ready"


async def test_a_stop_wins_over_a_restart_that_a_plugin_asks_for(make: Make) -> None:
    supervisor, plugin, _ = make()
    async with supervisor:
        (server,) = supervisor.servers.values()
        await server.wait_ready(20)
        assert plugin.view is not None
        server._engine.ask_down()
        plugin.view.ask_restart("too late")
        await server.wait_stopped()
        assert (server.state, server.generation) == (State.STOPPED, 1)
        plugin.view.ask_restart("it is at rest")
        assert server.is_settled()


async def test_what_runs_over_restarts_ends_when_the_server_is_at_rest(make: Make) -> None:
    supervisor, plugin, _ = make()
    async with supervisor:
        (server,) = supervisor.servers.values()
        await server.wait_ready(20)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.until(lambda: server.generation == 2)
        await server.wait_ready(20)
        await server.restart()
        await server.wait_ready(20)
        assert (server.generation, plugin.lasting) == (3, ["begun"])
        await server.stop()
        await asyncio.sleep(0)
        assert plugin.lasting == ["begun", "ended"]


async def test_what_runs_over_restarts_ends_with_the_supervisor(make: Make) -> None:
    supervisor, plugin, _ = make()
    async with supervisor:
        await supervisor.wait_ready(timeout=20)
    await asyncio.sleep(0)
    assert plugin.lasting == ["begun", "ended"]
