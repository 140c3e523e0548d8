"""Tasks that plugins start beside a run, or beyond it: their failures are reported, and end nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, MutableMapping
from collections.abc import Set as AbstractSet
from contextlib import suppress
from typing import Any
from weakref import WeakKeyDictionary

from hostler.concurrency.broadcast import Subscription
from hostler.concurrency.tasks import TaskSet
from hostler.concurrency.threads import run_in_thread
from hostler.events.events import Event
from hostler.runtime.reporter import Reporter

LAST_SECONDS = 5.0
"""How long a task that follows the events of its server may take when the last of them has come."""


async def run_beside(function: Callable[[], Awaitable[None]], reporter: Reporter) -> None:
    """Await a plugin's function; only a cancellation comes out of it."""
    try:
        await function()
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - reported, and no reason to end anything, SystemExit included
        reporter.notice("background_failed", f"{name_of(function)} failed: {error!r}", "warning")


async def warm_up(function: Callable[[], object], reporter: Reporter) -> None:
    """Call a function on a thread; only a cancellation comes out of it."""
    try:
        await run_in_thread(function, abandon_on_cancel=True, daemon=False)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - whoever needs what it prepares will fail, and be named
        reporter.notice("warm_up_failed", f"preparing in the background failed: {error!r}", "warning")


def name_of(function: Callable[..., object]) -> str:
    """What messages call a plugin's function."""
    return getattr(function, "__qualname__", repr(function))


class ServerTasks:
    """The tasks of one server's plugins that go on over restarts."""

    def __init__(self) -> None:
        self._tasks = TaskSet()
        self._revivals: list[str] = []
        # A WeakKeyDictionary from the first on: of hundreds of servers few have one.
        self._followed: MutableMapping[Subscription[Event], asyncio.Task[None]] = {}
        self._last: set[asyncio.Task[None]] = set()

    @property
    def revival(self) -> str:
        """What brings the server back when it has failed, in words; "" when nothing does."""
        return self._revivals[0] if self._revivals else ""

    @property
    def last(self) -> AbstractSet[asyncio.Task[None]]:
        """Those that `end` has left up to `LAST_SECONDS` to take their last events; a snapshot."""
        return frozenset(self._last)

    def start(self, work: Coroutine[Any, Any, None], revival: str, on_lost: Callable[[], None]) -> None:
        """Run it over restarts. With `revival` it may bring the server back: `on_lost` is called after it."""
        if revival:
            work = self._reviving(work, revival, on_lost)
        self._tasks.start(work, "a plugin's lasting task")

    def note_follower(self, events: Subscription[Event]) -> None:
        """Have `events`, which one of these tasks follows, end with them; others' go on."""
        task = asyncio.current_task()
        if task is not None and task in self._tasks:
            self._followed = self._followed or WeakKeyDictionary()
            self._followed[events] = task

    def end(self) -> None:
        """Cancel all of it, without waiting; the next start begins with nothing.

        The events that one follows end instead, and it is cancelled where it goes on for too long.
        """
        tasks, self._tasks, self._revivals = self._tasks, TaskSet(), []
        followed: dict[Subscription[Event], asyncio.Task[None]] = {}
        if self._followed:  # seldom, and to copy none takes 30 us too
            followed, self._followed = dict(self._followed), {}
        for events in followed:
            events.close()
        last = {task for task in followed.values() if not task.done()}
        tasks.cancel(spared=last)
        for task in last:
            self._give_last_seconds(task)

    def cancel(self) -> None:
        """Cancel all of it at once, without last events."""
        self._followed.clear()
        for task in self._last:
            task.cancel()
        self.end()

    def _give_last_seconds(self, task: asyncio.Task[None]) -> None:
        self._last.add(task)
        task.add_done_callback(self._last.discard)
        with suppress(RuntimeError):  # its loop is closed: it will never run again
            task.get_loop().call_later(LAST_SECONDS, task.cancel)

    async def _reviving(
        self, work: Coroutine[Any, Any, None], revival: str, on_lost: Callable[[], None]
    ) -> None:
        revivals = self._revivals  # those of this start: `end` replaces them while this is cancelled
        revivals.append(revival)
        try:
            await work
        finally:
            revivals.remove(revival)
            on_lost()
