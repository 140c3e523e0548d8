"""Listeners: they get every event of every server, and what is wrong with one reaches nothing else."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field

import anyio
import pytest
from hostler import (
    Directories,
    Event,
    Notice,
    PluginError,
    PluginFailed,
    ServerSpec,
    State,
    StateChanged,
    Supervisor,
)
from hostler.supervisor import listeners

SPECS = [ServerSpec(name=name, command=("sleep", "1000"), port=None) for name in ("one", "two")]


@dataclass(eq=False)
class Collector:
    """Keeps what it gets, until it has had `enough` events."""

    enough: int = 10**9
    events: list[Event] = field(init=False, default_factory=list)

    async def listen(self, events: AsyncIterator[Event]) -> None:
        async for event in events:
            self.events.append(event)
            if len(self.events) == self.enough:
                return


@dataclass(eq=False)
class Broken:
    """Raises at its first event, with a secret in what it says."""

    url: str = field(repr=False)
    calls: int = 0

    async def listen(self, events: AsyncIterator[Event]) -> None:
        self.calls += 1
        await anext(events)
        raise RuntimeError(f"nobody answers at {self.url}")


@dataclass(eq=False)
class FailsOnce(Collector):
    """Raises at its first event, and then keeps what it gets."""

    async def listen(self, events: AsyncIterator[Event]) -> None:
        if not self.events:
            self.events.append(await anext(events))
            raise RuntimeError("not yet")
        await super().listen(events)


@dataclass(eq=False)
class Blocking:
    """Keeps the event loop to itself, and then resists its end."""

    is_cut_off: bool = False

    async def listen(self, events: AsyncIterator[Event]) -> None:
        await anext(events)
        time.sleep(0.2)  # noqa: ASYNC251 - the fault that is tested
        try:
            await anyio.sleep(1000)
        finally:
            self.is_cut_off = True


def failures(events: list[Event]) -> list[PluginFailed]:
    return [event for event in events if isinstance(event, PluginFailed)]


async def test_a_listener_gets_every_event_from_the_first_to_the_last(directories: Directories) -> None:
    listener, called, satisfied = Collector(), list[Event](), Collector(enough=2)
    supervisor = Supervisor(
        SPECS, directories=directories, listeners={"all": listener, "satisfied": satisfied}
    )
    supervisor.listen(called.append)
    async with supervisor:
        await supervisor.wait_ready(timeout=20)
    assert listener.events == called
    ends = [(event.server, event.state) for event in called if isinstance(event, StateChanged)]
    assert set(ends[:2]) == {("one", State.STARTING), ("two", State.STARTING)}
    assert set(ends[-2:]) == {("one", State.STOPPED), ("two", State.STOPPED)}
    assert (satisfied.events, failures(called)) == (called[:2], [])


async def test_a_listener_that_fails_is_named_called_again_and_then_left_out(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "_FIRST_DELAY", 0.0)
    broken, other = Broken("https://hooks.example/T0K3N-of-a-channel"), Collector()
    supervisor = Supervisor(SPECS, directories=directories, listeners={"broken": broken, "other": other})
    async with supervisor:
        events = supervisor.events()
        await supervisor.wait_ready(timeout=20)
        with anyio.fail_after(20):
            while not getattr(await anext(events), "disabled", False):
                pass
        assert all(server.state is State.RUNNING for server in supervisor.servers.values())
    told = failures(other.events)
    assert [(one.plugin, one.hook, one.disabled) for one in told] == [
        ("broken", "listen", False),
        ("broken", "listen", False),
        ("broken", "listen", True),
    ]
    assert told[0].reason == "raised RuntimeError('nobody answers at https://hooks.example/********')"
    assert broken.calls == 3


async def test_a_listener_that_has_failed_gets_what_waits_at_the_end(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "_FIRST_DELAY", 1000.0)
    monkeypatch.setattr(listeners, "_LAST_SECONDS", 1000.0)
    listener = FailsOnce()
    with anyio.fail_after(20):
        async with Supervisor(SPECS, directories=directories, listeners={"once": listener}) as supervisor:
            await supervisor.wait_ready()
    assert isinstance(listener.events[-1], StateChanged)
    assert listener.events[-1].state is State.STOPPED


async def test_a_listener_that_blocks_is_named_and_one_that_never_ends_is_cut_off(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(listeners, "_LAST_SECONDS", 0.1)
    blocking, called = Blocking(), list[Event]()
    supervisor = Supervisor(SPECS, directories=directories, listeners={"blocking": blocking})
    supervisor.listen(called.append)
    with anyio.fail_after(20):
        async with supervisor:
            await supervisor.wait_ready()
    assert blocking.is_cut_off
    (slow,) = failures(called)
    assert slow.reason.startswith("blocked the event loop for 0.2")


async def test_a_listener_that_is_too_slow_learns_how_many_it_has_lost(directories: Directories) -> None:
    listener = Collector()
    async with Supervisor(SPECS, directories=directories, listeners={"all": listener}) as supervisor:
        await supervisor.wait_ready(timeout=20)
        for number in range(8192 + 5):  # no await: it has no chance to take them
            supervisor["one"].notice("number", str(number))
    notices = [event for event in listener.events if isinstance(event, Notice)]
    (lost,) = [event.details["count"] for event in notices if event.topic == "events_dropped"]
    numbers = [event.text for event in notices if event.topic == "number"]
    assert isinstance(lost, int)
    assert lost >= 5
    assert numbers[0] == str(8197 - len(numbers))
    assert numbers[-1] == "8196"


def test_an_object_that_cannot_listen_is_refused(directories: Directories) -> None:
    with pytest.raises(PluginError, match=r'listener "odd" \(object\) has no "async def listen'):
        Supervisor(SPECS, directories=directories, listeners={"odd": object()})  # type: ignore[dict-item]
