"""Tasks that plugins start beside a run, or beyond it: their failures are reported, and end nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

from hostler.concurrency.tasks import TaskSet
from hostler.concurrency.threads import run_in_thread
from hostler.runtime.reporter import Reporter


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

    @property
    def revival(self) -> str:
        """What brings the server back when it has failed, in words; "" when nothing does."""
        return self._revivals[0] if self._revivals else ""

    def start(self, work: Coroutine[Any, Any, None], revival: str, on_lost: Callable[[], None]) -> None:
        """Run it over restarts. With `revival` it may bring the server back: `on_lost` is called after it."""
        if revival:
            work = self._reviving(work, revival, on_lost)
        self._tasks.start(work, "a plugin's lasting task")

    def end(self) -> None:
        """Cancel all of it, without waiting; the next start begins with nothing."""
        tasks, self._tasks, self._revivals = self._tasks, TaskSet(), []
        tasks.cancel()

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
