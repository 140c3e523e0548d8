"""What plugins have done beside a run: their failures are told, and hurt nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from hostler.aside import aside
from hostler.model import Line
from hostler.voice import Voice


async def run_beside(function: Callable[[], Awaitable[None]], voice: Voice) -> None:
    """Await a plugin's function; only a cancellation comes out of it."""
    try:
        await function()
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - told, and no reason to end anything, SystemExit included
        name = getattr(function, "__qualname__", repr(function))
        voice.notice("background_failed", f"{name} failed: {error!r}", "warning")


async def warm_up(function: Callable[[], object], voice: Voice) -> None:
    """Call a function on a thread; only a cancellation comes out of it."""
    try:
        await aside(function, abandon=True)
    except asyncio.CancelledError:
        raise
    except BaseException as error:  # noqa: BLE001 - it is only warmth: who needs it will fail and be named
        voice.notice("warm_up_failed", f"preparing in the background failed: {error!r}", "warning")


def wants_more(follower: Callable[[Line], bool], line: Line, voice: Voice) -> bool:
    """Hand a line to a plugin; whether it wants the next one, too."""
    try:
        return follower(line)
    except BaseException as error:  # noqa: BLE001 - told, and no reason to keep lines from others
        name = getattr(follower, "__qualname__", repr(follower))
        voice.notice("follower_failed", f"{name} failed at a line of output: {error!r}", "warning")
        return False
