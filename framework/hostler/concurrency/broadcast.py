"""Bounded streams from the engine to whoever listens: a slow listener loses the oldest, and learns that."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar
from weakref import WeakSet

import anyio

T = TypeVar("T")
_HEAVIEST = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Marks(Generic[T]):
    """For items that carry the number of those lost before them: how that is read, and written."""

    read: Callable[[T], int]
    write: Callable[[T, int], T]


class Subscription(Generic[T]):
    """One listener's queue, an async iterator; it ends when the broadcast is closed or it is itself."""

    def __init__(
        self,
        limit: int,
        gap: Callable[[int], T] | None,
        weigh: Callable[[T], int] | None = None,
        marks: Marks[T] | None = None,
    ) -> None:
        self._items: deque[T] = deque()
        self._limit = limit
        self._gap = gap
        self._weigh = weigh
        self._marks = marks
        self._weight = 0
        self._lost = 0
        self._closed = False
        self._wakeup = anyio.Event()

    def push(self, item: T) -> None:
        """Add an item; where there is no room the oldest is dropped and counted."""
        if self._closed:
            return

        while len(self._items) >= self._limit or self._is_heavy():
            gone = self._pop()
            self._lost += 1 if self._marks is None else 1 + self._marks.read(gone)

        self._items.append(item)

        if self._weigh is not None:
            self._weight += self._weigh(item)

        self._wakeup.set()

    def close(self) -> None:
        """End the iteration once what is queued has been taken."""
        self._closed = True
        self._wakeup.set()

    def __aiter__(self) -> Subscription[T]:
        return self

    async def __anext__(self) -> T:
        while not self._items:
            if self._closed:
                raise StopAsyncIteration
            if self._wakeup.is_set():  # several may wait: all of them are to be woken
                self._wakeup = anyio.Event()
            await self._wakeup.wait()

        if self._lost and self._gap is not None:
            lost, self._lost = self._lost, 0
            return self._gap(lost)

        item = self._pop()

        if self._lost and self._marks is not None:
            lost, self._lost = self._lost, 0
            return self._marks.write(item, self._marks.read(item) + lost)

        return item

    def _is_heavy(self) -> bool:
        """Whether too much waits behind the oldest: that one may just be taken, however large it is."""
        if self._weigh is None or not self._items:
            return False
        return self._weight > _HEAVIEST + self._weigh(self._items[0])

    def _pop(self) -> T:
        item = self._items.popleft()
        if self._weigh is not None:
            self._weight -= self._weigh(item)
        return item


class Broadcast(Generic[T]):
    """Carries items to any number of subscriptions; one that nobody holds any more is forgotten.

    `limit` is how many wait for a slow listener at most. With `weigh`, which gives the size of an item,
    they are also 16 MiB together at most, the oldest and the newest not counted. Where some were lost,
    `gap` makes an item that says so; with `marks` the next one says it.
    """

    def __init__(
        self,
        *,
        limit: int = 1024,
        gap: Callable[[int], T] | None = None,
        weigh: Callable[[T], int] | None = None,
        marks: Marks[T] | None = None,
    ) -> None:
        self._limit = limit
        self._gap = gap
        self._weigh = weigh
        self._marks = marks
        self._subscriptions: WeakSet[Subscription[T]] = WeakSet()
        self._closed = False

    @property
    def followed(self) -> bool:
        """Whether anybody listens."""
        return len(self._subscriptions) > 0

    def subscribe(self, limit: int | None = None) -> Subscription[T]:
        """Listen from now on, with a limit of one's own or the broadcast's."""
        subscription = Subscription(limit or self._limit, self._gap, self._weigh, self._marks)
        if self._closed:
            subscription.close()
        else:
            self._subscriptions.add(subscription)
        return subscription

    def publish(self, item: T) -> None:
        """Hand an item to every listener; never blocks."""
        if not self.followed:
            return  # without a list of nobody: a busy event stream comes here for each event
        for subscription in list(self._subscriptions):
            subscription.push(item)

    def close(self) -> None:
        """End every subscription, those to come included."""
        self._closed = True
        for subscription in list(self._subscriptions):
            subscription.close()
