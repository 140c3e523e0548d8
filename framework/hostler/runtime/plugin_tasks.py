"""What plugins have done beside a run: their failures are told, and hurt nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

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
