"""Listeners: they get every event of every server, and what is wrong with one reaches nothing else."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import anyio
import pytest
from hostler import (
    Configuration,
    Directories,
    Event,
    Listener,
    ListenerContext,
    ListenerSpec,
    Notice,
    PluginError,
    PluginFailed,
    Secret,
    ServerSpec,
    ServerView,
    State,
    StateChanged,
    Supervisor,
    hookimpl,
    serve,
)
from hostler.concurrency.broadcast import Broadcast
from hostler.supervisor import supervisor as supervisors
from hostler.supervisor.listener import ListenerSetting, Patience
from hostler.supervisor.listeners import ListenerTasks

SPECS = [ServerSpec(name=name, command=("sleep", "1000"), port=None) for name in ("one", "two")]


@dataclass(eq=False)
class Collector:
    """Keeps what it gets, until it has had `enough` events."""

    enough: int = 10**9
    events: list[Event] = field(init=False, default_factory=list)

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        async for event in events:
            self.events.append(event)
            if len(self.events) == self.enough:
                return


@dataclass(eq=False)
class Broken:
    """Raises at its first event, with a secret in what it says."""

    url: str = field(repr=False)
    calls: int = 0

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        self.calls += 1
        await anext(events)
        raise RuntimeError(f"nobody answers at {self.url}")


@dataclass(eq=False)
class FailsOnce(Collector):
    """Raises at its first event, and then keeps what it gets."""

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        if not self.events:
            self.events.append(await anext(events))
            raise RuntimeError("not yet")
        await super().listen(events, context)


@dataclass(eq=False)
class FailsFourTimes:
    """Raises at each of its first four calls."""

    calls: int = 0
    is_content: anyio.Event = field(default_factory=anyio.Event)

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        self.calls += 1
        if self.calls <= 4:
            raise RuntimeError("not yet")
        self.is_content.set()


@dataclass(eq=False)
class Reporting:
    """Reports each event some times, with a secret in what it says."""

    token: str = field(repr=False)
    times: int = 1
    events: list[Event] = field(init=False, default_factory=list)

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        async for event in events:
            self.events.append(event)
            for _ in range(self.times):
                context.notice("seen", f"with {self.token}", level="warning", by=[self.token])


@dataclass(eq=False)
class Lingering:
    """Goes on when it has all events."""

    has_all: anyio.Event = field(default_factory=anyio.Event)

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        async for _ in events:
            pass
        self.has_all.set()
        await anyio.sleep(1000)


@dataclass(eq=False)
class Blocking:
    """Keeps the event loop to itself, and then resists its end."""

    is_cut_off: bool = False

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        await anext(events)
        time.sleep(0.2)  # noqa: ASYNC251 - the fault that is tested
        try:
            await anyio.sleep(1000)
        finally:
            self.is_cut_off = True


class Misnamed:
    async def listen(self, events: AsyncIterator[Event], contex: object) -> None: ...


class Newer(Collector):
    api = "99"


class Hooked:
    @hookimpl
    async def on_ready(self, server: ServerView) -> None: ...


def set_patience(monkeypatch: pytest.MonkeyPatch, **seconds: float) -> None:
    patient = partial(ListenerSetting, patience=Patience(**seconds))
    monkeypatch.setattr(supervisors, "ListenerSetting", patient)


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
    changes = [event for event in called if isinstance(event, StateChanged)]
    for spec in SPECS:
        states = [event.state for event in changes if event.server == spec.name]
        assert (states[0], states[-1]) == (State.STARTING, State.STOPPED)
    assert (satisfied.events, failures(called)) == (called[:2], [])


def test_a_listener_follows_servers_without_async_too(directories: Directories) -> None:
    listener = Collector()
    with serve(SPECS, directories=directories, listeners={"all": listener}) as servers:
        servers.wait_ready(timeout=20)
    changes = [event for event in listener.events if isinstance(event, StateChanged)]
    states = [one.state for one in changes if one.server == "one"]
    assert (states[0], states[-1]) == (State.STARTING, State.STOPPED)


async def test_a_listener_that_fails_is_named_called_again_and_then_left_out(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_patience(monkeypatch, first_delay=0.0)
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
    set_patience(monkeypatch, first_delay=1000.0, last=1000.0)
    listener = FailsOnce()
    with anyio.fail_after(20):
        async with Supervisor(SPECS, directories=directories, listeners={"once": listener}) as supervisor:
            await supervisor.wait_ready()
    assert isinstance(listener.events[-1], StateChanged)
    assert listener.events[-1].state is State.STOPPED


async def test_a_listener_that_blocks_is_named_and_one_that_never_ends_is_cut_off(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_patience(monkeypatch, last=0.1)
    blocking, called = Blocking(), list[Event]()
    supervisor = Supervisor(SPECS, directories=directories, listeners={"blocking": blocking})
    supervisor.listen(called.append)
    with anyio.fail_after(20):
        async with supervisor:
            await supervisor.wait_ready()
    assert blocking.is_cut_off
    (slow,) = failures(called)
    assert slow.reason.startswith("blocked the event loop for ")


async def test_who_forces_the_stop_at_the_end_does_not_wait_for_listeners(directories: Directories) -> None:
    listener = Lingering()
    with anyio.fail_after(20):
        supervisor = await Supervisor(
            SPECS, directories=directories, listeners={"all": listener}
        ).__aenter__()
        await supervisor.wait_ready()
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(supervisor.close)
            await listener.has_all.wait()
            began = anyio.current_time()
            await supervisor.stop(force=True)
        assert anyio.current_time() - began < 4


async def test_an_object_of_the_program_goes_before_a_listener_of_the_file(directories: Directories) -> None:
    other, own = Collector(), Collector()
    spec = ListenerSpec("all", instance=other)
    configuration = Configuration({spec.name: spec for spec in SPECS}, listeners={"all": spec})
    async with Supervisor(configuration, directories=directories, listeners={"all": own}) as supervisor:
        await supervisor.wait_ready(timeout=20)
        await supervisor.reload(configuration)
    assert own.events
    assert other.events == []


async def test_a_listener_that_is_too_slow_learns_how_many_it_has_lost(directories: Directories) -> None:
    listener = Collector()
    async with Supervisor(SPECS, directories=directories, listeners={"all": listener}) as supervisor:
        await supervisor.wait_ready(timeout=20)
        for number in range(8192 + 5):  # no await: it has no chance to take them
            supervisor["one"]._engine.notice("number", str(number))
    notices = [event for event in listener.events if isinstance(event, Notice)]
    (lost,) = [event.details["count"] for event in notices if event.topic == "events_dropped"]
    numbers = [event.text for event in notices if event.topic == "number"]
    assert isinstance(lost, int)
    assert lost >= 5
    assert numbers[0] == str(8197 - len(numbers))
    assert numbers[-1] == "8196"


async def test_failures_that_are_far_apart_never_end_a_listener() -> None:
    channel = Broadcast[Event]()
    told = channel.subscribe()
    listener = FailsFourTimes()
    tasks = ListenerTasks(
        {},
        {"broken": listener},
        ListenerSetting(channel.publish, {}, Patience(first_delay=0.0, stable=0.0)),
    )
    tasks.begin(channel)
    with anyio.fail_after(20):
        await listener.is_content.wait()
    channel.close()
    assert [one.disabled for one in failures([event async for event in told])] == [False] * 4


async def test_a_listener_reports_with_its_context_and_does_not_hear_itself(directories: Directories) -> None:
    listener, other = Reporting("T0K3N-of-a-channel"), Collector()
    supervisor = Supervisor(SPECS, directories=directories, listeners={"reporting": listener, "other": other})
    async with supervisor:
        await supervisor.wait_ready(timeout=20)
    seen = [event for event in other.events if isinstance(event, Notice) and event.topic == "seen"]
    assert {(one.server, one.text, one.level) for one in seen} == {("", "with ********", "warning")}
    assert seen[0].details == {"by": ["********"], "listener": "reporting"}
    assert listener.events
    assert listener.events == [event for event in other.events if event not in seen][: len(listener.events)]
    assert len(seen) <= len(listener.events)


async def test_a_listener_that_lost_some_of_its_own_notices_does_not_get_the_others() -> None:
    channel = Broadcast[Event](limit=2)
    listener = Reporting("", times=3)
    tasks = ListenerTasks({}, {"reporting": listener}, ListenerSetting(channel.publish, {}))
    tasks.begin(channel)
    numbers = [Notice(server="one", generation=0, topic="number", text=str(number)) for number in range(3)]
    with anyio.fail_after(20):
        for number in numbers:  # three notices of its own for two places
            channel.publish(number)
            await anyio.wait_all_tasks_blocked()
        await tasks.close()
    assert listener.events == numbers


async def test_listeners_that_answer_each_others_notices_are_limited(directories: Directories) -> None:
    channel, collector = Broadcast[Event](), Collector()
    listeners: dict[str, Listener] = {"one": Reporting(""), "two": Reporting(""), "all": collector}
    tasks = ListenerTasks({}, listeners, ListenerSetting(channel.publish, {}))
    tasks.begin(channel)
    with anyio.fail_after(20):
        channel.publish(Notice(server="one", generation=0, topic="start", text=""))
        await anyio.wait_all_tasks_blocked()
        await tasks.close()
    topics = Counter(
        (one.topic, one.details.get("listener")) for one in collector.events if isinstance(one, Notice)
    )
    assert topics == {
        ("start", None): 1,
        ("seen", "one"): 60,
        ("seen", "two"): 60,
        ("notices_limited", "one"): 1,
        ("notices_limited", "two"): 1,
    }


async def test_a_secret_of_an_option_is_read_and_masked_from_then_on(
    directories: Directories, tmp_path: Path
) -> None:
    class Reading(Collector):
        async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
            url = context.read_secret(Secret(f"file:{file}"))
            context.redact("found-at-run-time")
            context.notice("read", f"{url} /services/T0K3N-of-a-channel found-at-run-time")

    file = tmp_path / "url"
    file.write_text("https://hooks.example/services/T0K3N-of-a-channel\n")
    file.chmod(0o644)
    collector = Collector()
    listeners = {"reading": Reading(), "all": collector}
    async with Supervisor(SPECS, directories=directories, listeners=listeners) as supervisor:
        await supervisor.wait_ready(timeout=20)
    told = {one.topic: one.text for one in collector.events if isinstance(one, Notice)}
    assert told["read"] == "******** /******** ********"
    assert f"chmod o-rwx {file}" in told["secret_exposed"]


@pytest.mark.parametrize(
    ("listener", "message"),
    [
        (
            object(),
            r'"odd" \(builtins.object\): it has no "async def listen\(self, events, context\)"',
        ),
        (Misnamed(), r'hook "listen" has .* "contex".*context.*; "listen" lacks the argument "context"'),
        (Newer(), r"it was written for version 99 of the hook API"),
        (Hooked(), r"it has hooks \(on_ready\): a plugin is used in \[servers.NAME.plugins\]"),
    ],
)
def test_an_object_that_cannot_listen_is_refused(
    listener: Listener, message: str, directories: Directories
) -> None:
    with pytest.raises(PluginError, match=message):
        Supervisor(SPECS, directories=directories, listeners={"odd": listener})
