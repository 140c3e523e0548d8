"""What a plugin's lasting task sees of its server: all its events, to the one by which it came to rest."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field, replace
from functools import partial

import anyio
import pytest
from hostler import (
    CrashRecorded,
    Directories,
    Event,
    Kind,
    PluginSpec,
    ServerSpec,
    ServerView,
    State,
    StateChanged,
    Supervisor,
    hookimpl,
)
from hostler.runtime import plugin_tasks
from specs import QUICK


@dataclass(eq=False)
class Follower:
    """Follows its server in one lasting task; `last` is what it does after the last event."""

    last: float = 0.0
    seen: list[Event] = field(init=False, default_factory=list)
    over: anyio.Event = field(init=False, default_factory=anyio.Event)
    is_cut_off: bool = field(init=False, default=False)
    task_runs: bool = field(init=False, default=False)

    @hookimpl
    async def pre_spawn(self, server: ServerView) -> None:
        if not self.task_runs:
            self.task_runs = True
            server.start_soon(partial(self._follow, server), over_restarts=True)

    async def _follow(self, server: ServerView) -> None:
        try:
            async for event in server.events():
                self.seen.append(event)
            await anyio.sleep(self.last)
        except asyncio.CancelledError:
            self.is_cut_off = True
            raise
        finally:
            self.task_runs = False
            self.over.set()

    @property
    def outcomes(self) -> list[tuple[State, str]]:
        """What was decided after each crash."""
        records = [event.record for event in self.seen if isinstance(event, CrashRecorded)]
        return [(record.outcome, record.decision) for record in records]

    @property
    def rest(self) -> tuple[State, str]:
        """The last event, by which the server came to rest."""
        last = [event for event in self.seen if isinstance(event, StateChanged)][-1]
        return last.state, last.reason


def spec_of(follower: Follower, script: str, **fields: object) -> ServerSpec:
    plugins = (PluginSpec("follower", instance=follower),)
    spec = ServerSpec(name="one", command=("sh", "-c", script), port=None, plugins=plugins, restart=QUICK)
    return replace(spec, **fields)  # type: ignore[arg-type]


async def test_a_plugin_sees_what_was_decided_and_that_it_gave_up(directories: Directories) -> None:
    follower = Follower()
    policy = replace(QUICK, max_restarts=1)
    async with Supervisor(
        spec_of(follower, "sleep 0.1; exit 3", restart=policy), directories=directories
    ) as supervisor:
        with anyio.fail_after(20):
            await supervisor["one"].until(lambda: supervisor["one"].state is State.FAILED)
            await follower.over.wait()
    gave_up = (State.FAILED, "gave up after 1 restarts")
    assert (follower.outcomes, follower.is_cut_off) == ([(State.BACKOFF, ""), gave_up], False)
    state, reason = follower.rest
    assert state is State.FAILED
    assert reason.startswith("gave up after 1 restarts: ")


async def test_a_plugin_sees_that_a_task_has_completed(directories: Directories) -> None:
    follower = Follower()
    async with Supervisor(
        spec_of(follower, "sleep 0.1", kind=Kind.TASK), directories=directories
    ) as supervisor:
        await supervisor["one"].wait_completed(20)
        with anyio.fail_after(20):
            await follower.over.wait()
    assert follower.rest == (State.STOPPED, "completed")


async def test_a_plugin_sees_the_stop_before_its_supervisor_ends_and_follows_the_next_start(
    directories: Directories,
) -> None:
    follower = Follower(last=0.1)
    async with Supervisor(spec_of(follower, "exec sleep 1000"), directories=directories) as supervisor:
        server = supervisor["one"]
        await server.wait_ready(20)
        await server.stop()
        with anyio.fail_after(20):
            await follower.over.wait()
        follower.seen.clear()
        await server.start()
        await server.wait_ready(20)
    assert follower.rest[0] is State.STOPPED
    assert not follower.is_cut_off


async def test_what_takes_too_long_after_the_last_event_is_cancelled(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin_tasks, "LAST_SECONDS", 0.1)
    follower = Follower(last=1000)
    async with Supervisor(spec_of(follower, "exec sleep 1000"), directories=directories) as supervisor:
        await supervisor["one"].wait_ready(20)
    assert (follower.rest[0], follower.is_cut_off) == (State.STOPPED, True)


async def test_what_a_program_follows_goes_on(directories: Directories) -> None:
    async with Supervisor(spec_of(Follower(), "exec sleep 1000"), directories=directories) as supervisor:
        server = supervisor["one"]
        events = server.events()
        await server.wait_ready(20)
        await server.stop()
        await server.start()
        with anyio.fail_after(20):
            while (await anext(events)).generation < 2:
                pass  # an end of the iteration raises
