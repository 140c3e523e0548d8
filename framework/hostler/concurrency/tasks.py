"""Tasks that are cancelled together when what they serve ends."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from contextlib import suppress
from typing import Any

_CLOSE_SECONDS = 2.0


class TaskSet:
    """A set of plain asyncio tasks that are cancelled together; once it is closed, none is started."""

    # No anyio task group on purpose: what is cancelled here (a plugin's generator, say) sees one cancellation
    # and may then await its own clean-up, which an anyio scope would cancel again and again; and one that
    # fails does not take the others along.

    def __init__(self) -> None:
        self._tasks: dict[asyncio.Task[None], str] = {}
        self.is_closed = False

    def start(self, work: Coroutine[Any, Any, None], name: str) -> None:
        """Run `work` until it ends or `close` is called; not at all after that."""
        if self.is_closed:
            work.close()
            return
        task = asyncio.create_task(work, name=name)
        self._tasks[task] = name
        task.add_done_callback(self._forget)

    def __contains__(self, task: object) -> bool:
        return task in self._tasks

    async def close(self, timeout: float = _CLOSE_SECONDS) -> list[str]:
        """Cancel all and wait; the names of those that did not end within `timeout` seconds."""
        self.cancel()
        tasks = dict(self._tasks)
        if tasks:
            await asyncio.wait(tasks, timeout=timeout)
        return [name for task, name in tasks.items() if not task.done()]

    def cancel(self, *, spared: Collection[asyncio.Task[None]] = ()) -> None:
        """Cancel all but the spared ones, without waiting: for when there is no time left."""
        self.is_closed = True
        for task in self._tasks.keys() - spared:
            with suppress(RuntimeError):  # its loop is closed: it will never run again
                task.cancel()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self._tasks.pop(task, None)
        if not task.cancelled():
            task.exception()  # taken note of, so that asyncio does not complain; the work reports its own
