"""The end of the program when a plugin does not want it to end."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Coroutine
from typing import Any

_LAST = 1.0


async def ending(work: Coroutine[Any, Any, int]) -> int:
    """Await the exit code of `work`; end the program at once where some task swallows its cancellation.

    asyncio would wait for such a task for ever, and so would Python when it takes it to pieces. All that
    has to be stopped has been stopped by then.
    """
    code = await work

    for task in others():
        task.cancel()

    if others():
        await asyncio.wait(others(), timeout=_LAST)

    if others():
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)

    return code


def others() -> list[asyncio.Task[Any]]:
    """All tasks but our own that have not ended."""
    return [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
