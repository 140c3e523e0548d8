"""Where the watchers of one run post events for the coroutine that manages it."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A queue with one reader; posting never blocks, reading may have a deadline."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._wakeup = anyio.Event()

    def post(self, item: T) -> None:
        """Add an item and wake the reader up."""
        self._items.append(item)
        self._wakeup.set()

    async def take(self, deadline: float | None = None) -> T | None:
        """The next item, or None when `deadline` (the event loop's clock, seconds) comes first."""
        with anyio.CancelScope(deadline=float("inf") if deadline is None else deadline):
            while not self._items:
                self._wakeup = anyio.Event()
                await self._wakeup.wait()
            return self._items.popleft()
        return None
