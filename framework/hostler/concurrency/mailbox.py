"""Where the watchers of one run post events for the coroutine that manages it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Generic, TypeVar

import anyio

from hostler.concurrency.flag import Flag

T = TypeVar("T")


class Mailbox(Generic[T]):
    """A queue with one reader; posting never blocks, reading may have a deadline."""

    def __init__(self) -> None:
        self._items: list[T] = []  # a few at most
        self._wakeup = Flag()
        self._listener: Callable[[], object] | None = None

    def post(self, item: T) -> None:
        """Add an item and wake the reader up."""
        self._items.append(item)
        self._wakeup.set()
        if self._listener is not None:
            self._listener()

    @contextmanager
    def heard_by(self, listener: Callable[[], object]) -> Iterator[None]:
        """Have `listener` called after each post, while the reader does something else."""
        self._listener = listener
        try:
            yield
        finally:
            self._listener = None

    async def take(self, deadline: float = math.inf) -> T | None:
        """The next item, or None when `deadline` (the event loop's clock, seconds) comes first."""
        if deadline == math.inf:
            return await self._next()  # without a scope, which takes a kilobyte
        with anyio.CancelScope(deadline=deadline):
            return await self._next()
        return None

    async def _next(self) -> T:
        while not self._items:
            self._wakeup = Flag()
            await self._wakeup.wait()
        return self._items.pop(0)
