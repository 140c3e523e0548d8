"""Listeners: objects that follow every event of every server, from the first start to the last stop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from inspect import iscoroutinefunction
from typing import Protocol

import anyio

from hostler.concurrency.broadcast import Broadcast, Subscription
from hostler.concurrency.event_loop import loop_time
from hostler.errors import PluginError
from hostler.events.events import Event, PluginFailed
from hostler.plugins.hook_calls import SLOW_STEP, Outcome
from hostler.plugins.hook_stats import Failure, HookAccounting
from hostler.secrets.masking import Masker

LISTEN = "listen"
_LAST_SECONDS = 5.0
_FIRST_DELAY, _LONGEST_DELAY = 0.5, 30.0
_STABLE_SECONDS = 60.0


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


class ListenerTasks:
    """Runs the listeners of one supervisor, each in its own task; no fault of one reaches anything else.

    Raises PluginError for an object that is none.
    """

    def __init__(self, listeners: Mapping[str, Listener], publish: Callable[[Event], None]) -> None:
        for name, listener in listeners.items():
            if not iscoroutinefunction(getattr(listener, LISTEN, None)):
                kind = type(listener).__qualname__
                raise PluginError(f'listener "{name}" ({kind}) has no "async def listen(self, events)"')
        self._listeners = dict(listeners)
        self._publish = publish
        self._tasks: dict[asyncio.Task[None], _Listening] = {}

    def begin(self, channel: Broadcast[Event]) -> None:
        """Have them follow the channel from now on."""
        for name, listener in self._listeners.items():
            listening = _Listening(name, listener, channel.subscribe(), self._publish)
            self._tasks[asyncio.create_task(listening.run(), name=f"listener {name}")] = listening

    async def close(self) -> None:
        """Give them their last events, within a bounded time; what resists its cancellation is left."""
        for listening in self._tasks.values():
            listening.end()
        for wait in (_LAST_SECONDS, 1.0):
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
        self, name: str, listener: Listener, events: Subscription[Event], publish: Callable[[Event], None]
    ) -> None:
        self._name, self._listener, self._events, self._publish = name, listener, events, publish
        self._masker = Masker(_secrets_of(listener))
        self._accounting = HookAccounting(self._report)
        self._ending = asyncio.Event()

    def end(self) -> None:
        """Let its events end when it has taken what waits."""
        self._events.close()
        self._ending.set()

    async def run(self) -> None:
        delay = _FIRST_DELAY
        while not self._accounting.is_disabled(self._name, LISTEN):
            started = loop_time()
            outcome = await self._listen()
            if not outcome.reason or isinstance(outcome.error, asyncio.CancelledError):
                return
            if loop_time() - started >= _STABLE_SECONDS:
                self._accounting.note(self._name, LISTEN, 0.0, "")
                delay = _FIRST_DELAY
            self._accounting.note(self._name, LISTEN, loop_time() - started, outcome.reason)
            with anyio.move_on_after(delay):
                await self._ending.wait()  # then it is called for its last events at once
            delay = min(delay * 2, _LONGEST_DELAY)

    async def _listen(self) -> Outcome:
        outcome = Outcome()
        await outcome.contain(self._listener.listen, {"events": self._events})
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


def _secrets_of(listener: object) -> Iterator[str]:
    """What its class leaves out of its repr; of an address, what stands behind the host."""
    for one in fields(listener) if is_dataclass(listener) else ():
        value = None if one.repr else getattr(listener, one.name, None)
        if isinstance(value, str):
            yield value
            yield value.partition("://")[2].partition("/")[2]
