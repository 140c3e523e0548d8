"""What is asked of the running event loop by code that a task or a plain callback may run."""

# Beside sniffio (openai, anthropic and trio bring it) anyio finds its loop by the running task: a callback
# that asks anyio for the time gets an error there. So this is where the engine's clock is.

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


def loop_time() -> float:
    """The time of the running loop, as `anyio.current_time()` returns it in a task."""
    return asyncio.get_running_loop().time()


def call_user_code(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call code of others on the loop's thread: it may use anyio as in a task, also beside sniffio."""
    sniffio = sys.modules.get("sniffio")
    if sniffio is None:
        return function(*args, **kwargs)

    library = sniffio.current_async_library_cvar
    token = library.set("asyncio")

    try:
        return function(*args, **kwargs)
    finally:
        library.reset(token)
