"""Bounded streams from the engine to whoever listens: a slow listener loses the oldest, and learns that."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar
from weakref import ref

from msgspec import Struct

from hostler.concurrency.flag import Flag

T = TypeVar("T")
_HEAVIEST = 16 * 1024 * 1024


class Marks(Struct, Generic[T], frozen=True):
    """For items that carry the number of those lost before them: how that is read, and written."""

    read: Callable[[T], int]
    write: Callable[[T, int], T]


class Subscription(Generic[T]):
    """One listener's queue, an async iterator; it ends when the broadcast is closed or it is itself."""

    def __init__(self, source: Broadcast[T], limit: int) -> None:
        self._items: deque[T] = deque()
        self._source = source
        self._limit = limit
        self._weight = 0
        self._lost = 0
        self._closed = False
        self._wakeup = Flag()

    def push(self, item: T) -> None:
        """Add an item; where there is no room the oldest is dropped and counted."""
        if self._closed:
            return

        while len(self._items) >= self._limit or self._is_heavy():
            gone, marks = self._pop(), self._source.marks
            self._lost += 1 if marks is None else 1 + marks.read(gone)
            self._source.note_dropped()

        self._items.append(item)
        self._weight += self._source.weigh(item)
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
                self._wakeup = Flag()
            await self._wakeup.wait()

        lost, self._lost = self._lost, 0
        if lost and self._source.gap is not None:
            return self._source.gap(lost)

        item, marks = self._pop(), self._source.marks
        return marks.write(item, marks.read(item) + lost) if lost and marks is not None else item

    def _is_heavy(self) -> bool:
        """Whether too much waits behind the oldest: that one may just be taken, however large it is."""
        return bool(self._items) and self._weight > _HEAVIEST + self._source.weigh(self._items[0])

    def _pop(self) -> T:
        item = self._items.popleft()
        self._weight -= self._source.weigh(item)
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
        weigh: Callable[[T], int] = lambda _: 0,
        marks: Marks[T] | None = None,
    ) -> None:
        self.gap = gap
        self.weigh = weigh
        self.marks = marks
        self.dropped = 0
        self._limit = limit
        self._subscriptions: tuple[ref[Subscription[T]], ...] = ()
        self._closed = False

    @property
    def followed(self) -> bool:
        """Whether anybody listens."""
        return bool(self._subscriptions)

    def subscribe(self, limit: int | None = None) -> Subscription[T]:
        """Listen from now on, with a limit of one's own or the broadcast's."""
        subscription = Subscription(self, limit or self._limit)
        if self._closed:
            subscription.close()
        else:
            self._subscriptions = (*self._subscriptions, ref(subscription, self._forget))
        return subscription

    def note_dropped(self) -> None:
        """Count an item that a listener was too slow for."""
        self.dropped += 1

    def publish(self, item: T) -> None:
        """Hand an item to every listener; never blocks."""
        if not self.followed:
            return  # without a list of nobody: a busy event stream comes here for each event
        for subscription in self._held():
            subscription.push(item)

    def close(self) -> None:
        """End every subscription, those to come included."""
        self._closed = True
        for subscription in self._held():
            subscription.close()

    def _held(self) -> list[Subscription[T]]:
        found = [reference() for reference in self._subscriptions]
        return [subscription for subscription in found if subscription is not None]

    def _forget(self, gone: ref[Subscription[T]]) -> None:
        self._subscriptions = tuple(one for one in self._subscriptions if one is not gone)
