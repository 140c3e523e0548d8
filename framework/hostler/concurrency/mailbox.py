"""Where the watchers of one run leave word for the coroutine that lives it."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

import anyio

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A queue with one reader; posting never blocks, reading may have a deadline."""

    def __init__(self) -> None:
        self._items: deque[T] = deque()
        self._news = anyio.Event()

    def post(self, item: T) -> None:
        """Leave word."""
        self._items.append(item)
        self._news.set()

    async def take(self, deadline: float | None = None) -> T | None:
        """The next item, or None when `deadline` (the event loop's clock, seconds) comes first."""
        with anyio.CancelScope(deadline=float("inf") if deadline is None else deadline):
            while not self._items:
                self._news = anyio.Event()
                await self._news.wait()

            return self._items.popleft()

        return None
