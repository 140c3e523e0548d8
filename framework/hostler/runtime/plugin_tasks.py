"""What plugins have done beside a run, or beyond it: their failures are told, and hurt nobody."""

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
    except BaseException as error:  # noqa: BLE001 - told, and no reason to end anything, SystemExit included
        reporter.notice("background_failed", f"{name_of(function)} failed: {error!r}", "warning")


async def warm_up(function: Callable[[], object], reporter: Reporter) -> None:
    """Call a function on a thread; only a cancellation comes out of it."""
    try:
        await run_in_thread(function, abandon_on_cancel=True, daemon=False)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - it is only warmth: who needs it will fail and be named
        reporter.notice("warm_up_failed", f"preparing in the background failed: {error!r}", "warning")


def name_of(function: Callable[..., object]) -> str:
    """What messages call a plugin's function."""
    return getattr(function, "__qualname__", repr(function))


class ServerTasks:
    """The lasting work of one server's plugins."""

    def __init__(self) -> None:
        self._tasks = TaskSet()
        self._hopes: list[str] = []

    @property
    def hope(self) -> str:
        """What brings the server back when it has failed, in words; "" when nothing does."""
        return self._hopes[0] if self._hopes else ""

    def start(self, work: Coroutine[Any, Any, None], hope: str, on_lost: Callable[[], None]) -> None:
        """Run it over restarts; as long as it runs there is this hope, and `on_lost` is called after it."""
        self._tasks.start(self._hoping(work, hope, on_lost) if hope else work, "a plugin's lasting task")

    def end(self) -> None:
        """Cancel all of it, without waiting; the next start begins with nothing."""
        tasks, self._tasks, self._hopes = self._tasks, TaskSet(), []
        tasks.cancel()

    async def _hoping(self, work: Coroutine[Any, Any, None], hope: str, on_lost: Callable[[], None]) -> None:
        hopes = self._hopes
        hopes.append(hope)
        try:
            await work
        finally:
            hopes.remove(hope)
            on_lost()
