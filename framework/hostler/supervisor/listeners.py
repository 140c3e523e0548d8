"""Listeners: objects that follow every event of every server, from the first start to the last stop."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, fields, is_dataclass
from inspect import iscoroutinefunction, signature
from typing import Protocol, TypeAlias

import anyio

from hostler.concurrency.broadcast import Broadcast, Subscription
from hostler.concurrency.event_loop import loop_time
from hostler.errors import PluginError
from hostler.events.events import Event, Notice, PluginFailed
from hostler.plugins.hook_calls import SLOW_STEP, Outcome
from hostler.plugins.hook_stats import Failure, HookAccounting
from hostler.secrets.masking import Masker

LISTEN = "listen"
ARGUMENTS = ("events", "context")
_REMEMBERED = 8192


class ListenerContext(Protocol):
    """What a listener reports with: the argument `context` of its `listen`."""

    def notice(self, topic: str, text: str, *, level: str = "info", **details: object) -> None:
        """Emit a notice of what the listener does or gives up: how many events it dropped, and why.

        It belongs to no server; its details have `listener`, the name. The listener does not get it itself.
        """


class Listener(Protocol):
    """Follows all events of a supervisor, given as `Supervisor(..., listeners={"name": ...})`.

    Of a dataclass, the texts in fields with `repr=False` are masked in what is reported of it.
    """

    async def listen(self, events: AsyncIterator[Event]) -> None:
        """Take every event of every server; they end when the last server has stopped.

        It has 5 s after that. Of more than 8192 that wait the oldest are dropped: the notice `events_dropped`
        stands in their place. Returning means that it wants no more. When it raises, that is reported as
        PluginFailed, and it is called again after a delay with what waits; after three failures in a row,
        none of which came after a minute without one, it is called no more.
        """


class ReportingListener(Protocol):
    """A listener that also reports: its `listen` names the argument `context`."""

    async def listen(self, events: AsyncIterator[Event], context: ListenerContext) -> None:
        """As in Listener; `context.notice(...)` tells what it does or gives up."""


AnyListener: TypeAlias = Listener | ReportingListener


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a listener is waited for, in seconds; `stable` without a failure begins the count anew."""

    first_delay: float = 0.5
    longest_delay: float = 30.0
    stable: float = 60.0
    last: float = 5.0


class ListenerTasks:
    """Runs the listeners of one supervisor, each in its own task; no fault of one reaches anything else.

    Raises PluginError for an object that is none.
    """

    def __init__(
        self,
        listeners: Mapping[str, AnyListener],
        publish: Callable[[Event], None],
        patience: Patience | None = None,
    ) -> None:
        for name, listener in listeners.items():
            _check(name, listener)
        self._listeners = dict(listeners)
        self._publish = publish
        self._patience = patience or Patience()
        self._tasks: dict[asyncio.Task[None], _Listening] = {}

    def begin(self, channel: Broadcast[Event]) -> None:
        """Have them follow the channel from now on."""
        for name, listener in self._listeners.items():
            listening = _Listening(name, listener, channel.subscribe(), self._publish, self._patience)
            self._tasks[asyncio.create_task(listening.run(), name=f"listener {name}")] = listening

    async def close(self) -> None:
        """Give them their last events, within a bounded time; what resists its cancellation is left."""
        for listening in self._tasks.values():
            listening.end()
        for wait in (self._patience.last, 1.0):
            running = [task for task in self._tasks if not task.done()]
            if running:
                await asyncio.wait(running, timeout=wait)
                for task in running:
                    task.cancel()

    def cancel(self) -> None:
        """Cancel them without waiting, and without their last events: they are not this process's."""
        for task in self._tasks:
            task.cancel()


class _Listening:
    """One listener with its queue: called, timed, blamed, and called again."""

    def __init__(
        self,
        name: str,
        listener: AnyListener,
        events: Subscription[Event],
        publish: Callable[[Event], None],
        patience: Patience,
    ) -> None:
        self._name, self._listener, self._publish, self._patience = name, listener, publish, patience
        self._masker = Masker(_secrets_of(listener))
        self._accounting = HookAccounting(self._report)
        self._ending = asyncio.Event()
        self._subscription = events
        self._context = _Context(name, self._masker, publish)
        offered = {"events": _OthersEvents(events, self._context.own), "context": self._context}
        self._arguments = {
            one: offered[one] for one in signature(listener.listen).parameters if one in offered
        }

    def end(self) -> None:
        """Let its events end when it has taken what waits."""
        self._subscription.close()
        self._ending.set()

    async def run(self) -> None:
        delay = self._patience.first_delay
        while not self._accounting.is_disabled(self._name, LISTEN):
            started = loop_time()
            outcome = await self._listen()
            if not outcome.reason or isinstance(outcome.error, asyncio.CancelledError):
                return
            if loop_time() - started >= self._patience.stable:
                self._accounting.note(self._name, LISTEN, 0.0, "")
                delay = self._patience.first_delay
            self._accounting.note(self._name, LISTEN, loop_time() - started, outcome.reason)
            with anyio.move_on_after(delay):
                await self._ending.wait()  # then it is called for its last events at once
            delay = min(delay * 2, self._patience.longest_delay)

    async def _listen(self) -> Outcome:
        outcome = Outcome()
        await outcome.contain(self._listener.listen, self._arguments)
        if outcome.held > SLOW_STEP:
            self._accounting.note_slow(self._name, LISTEN, "blocked the event loop", outcome.held)
        return outcome

    def _report(self, failure: Failure) -> None:
        reason = self._masker.text(failure.reason)
        self._publish(
            PluginFailed(
                server="",
                generation=0,
                plugin=failure.plugin,
                hook=failure.hook,
                reason=reason,
                seconds=failure.seconds,
                disabled=failure.disabled,
            )
        )


class _Context:
    """The `context` of one listener; `own` are its notices, which it does not get."""

    def __init__(self, name: str, masker: Masker, publish: Callable[[Event], None]) -> None:
        self._name, self._masker, self._publish = name, masker, publish
        self.own: deque[Event] = deque(maxlen=_REMEMBERED)

    def notice(self, topic: str, text: str, *, level: str = "info", **details: object) -> None:
        """See ListenerContext."""
        masked = self._masker.nested({**details, "listener": self._name})
        text = self._masker.text(text)
        event = Notice(server="", generation=0, topic=topic, text=text, level=level, details=masked)
        self.own.append(event)
        self._publish(event)


class _OthersEvents:
    """The events without the listener's own notices: one for each event would never end."""

    def __init__(self, events: Subscription[Event], own: deque[Event]) -> None:
        self._events, self._own = events, own

    def __aiter__(self) -> _OthersEvents:
        return self

    async def __anext__(self) -> Event:
        while True:
            event = await anext(self._events)
            if all(event is not one for one in self._own):
                return event
            # They come in order: those before it were dropped.
            while self._own.popleft() is not event:
                pass


def _check(name: str, listener: object) -> None:
    """Raise PluginError for an object that cannot be called as a listener."""
    # Not above: a supervisor without listeners needs none of it.
    from hostler.plugins.signatures import argument_faults  # noqa: PLC0415

    kind = type(listener).__qualname__
    listen = getattr(listener, LISTEN, None)
    if not iscoroutinefunction(listen):
        raise PluginError(f'listener "{name}" ({kind}) has no "async def listen(self, events)"')
    if faults := list(argument_faults(LISTEN, listen, ARGUMENTS)):
        raise PluginError(f'listener "{name}" ({kind}): ' + "; ".join(faults))


def _secrets_of(listener: object) -> Iterator[str]:
    """What its class leaves out of its repr; of an address, what stands behind the host."""
    for one in fields(listener) if is_dataclass(listener) else ():
        value = None if one.repr else getattr(listener, one.name, None)
        if isinstance(value, str):
            yield value
            yield value.partition("://")[2].partition("/")[2]
