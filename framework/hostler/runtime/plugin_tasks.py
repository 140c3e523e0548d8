"""What plugins have done beside a run: their failures are told, and hurt nobody."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable

from hostler.concurrency.threads import run_in_thread
from hostler.model.values import Line
from hostler.runtime.reporter import Reporter

_SLOW_LINE = 0.05


async def run_beside(function: Callable[[], Awaitable[None]], reporter: Reporter) -> None:
    """Await a plugin's function; only a cancellation comes out of it."""
    try:
        await function()
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - told, and no reason to end anything, SystemExit included
        reporter.notice("background_failed", f"{_name(function)} failed: {error!r}", "warning")


async def warm_up(function: Callable[[], object], reporter: Reporter) -> None:
    """Call a function on a thread; only a cancellation comes out of it."""
    try:
        await run_in_thread(function, abandon_on_cancel=True, daemon=False)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - it is only warmth: who needs it will fail and be named
        reporter.notice("warm_up_failed", f"preparing in the background failed: {error!r}", "warning")


def wants_more(follower: Callable[[Line], bool], line: Line, reporter: Reporter) -> bool:
    """Hand a line to a plugin; whether it wants the next one, too."""
    began = time.monotonic()

    try:
        return follower(line)
    except BaseException as error:  # noqa: BLE001 - told, and no reason to keep lines from others
        reporter.notice("follower_failed", f"{_name(follower)} failed at a line: {error!r}", "warning")
        return False
    finally:
        seconds = time.monotonic() - began

        if seconds > _SLOW_LINE:
            held = f"{_name(follower)} held up the event loop for {seconds:.2f} s at a line of output"
            reporter.notice("follower_slow", held, "warning")


def _name(function: Callable[..., object]) -> str:
    return getattr(function, "__qualname__", repr(function))
