"""The last events of a supervisor, each with a cursor, and what they told of the memory of servers."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache
from typing import Any

from msgspec import Struct

from hostler import Event, MemorySampled, Notice, PluginNote, Supervisor
from hostler.control.former_servers import FormerServers
from hostler.control.memory import MemoryHistory

KEPT = 8192
"""How many events can be read again, at most."""

_MOST_BYTES = 4 * 2**20
_OVERHEAD = 256  # of an event without long texts
_LONG = ("text", "reason", "error", "stdout", "stderr", "plugins", "details", "env")
_LONGEST_NUMBER = 18  # digits


class Missed(Struct, frozen=True):
    """Some events before a cursor are not kept any more; `count` is None where nobody knows how many."""

    count: int | None


class EventRing:
    """Keeps the last events of a supervisor, from when it is made until `close`. Used on the loop's thread.

    A cursor is "BOOT-NUMBER": BOOT is another one for each ring, NUMBER counts its events from 1 on.
    """

    def __init__(self, supervisor: Supervisor) -> None:
        self._boot = os.urandom(4).hex()
        self.since = datetime.now(UTC)
        self._count = 0
        self._events: deque[tuple[Event, int]] = deque()
        self._bytes = 0
        self.memory = MemoryHistory(supervisor)
        self.former = FormerServers(supervisor)
        self._followers: list[Callable[[], None]] = []
        self._end: Callable[[], None] | None = supervisor.listen(self._on_event)

    def close(self) -> None:
        """Take no more events, and let the followers know. Idempotent."""
        end, self._end = self._end, None
        if end is not None:
            end()
            self.memory.close()
            self._tell_followers()

    @property
    def is_closed(self) -> bool:
        """Whether no more events will come."""
        return self._end is None

    @property
    def cursor(self) -> str:
        """The place after the newest event."""
        return self.cursor_of(self._count)

    @property
    def count(self) -> int:
        """How many events there were."""
        return self._count

    def cursor_of(self, number: int) -> str:
        """The cursor behind the event of this number."""
        return f"{self._boot}-{number}"

    def follow(self, follower: Callable[[], None]) -> Callable[[], None]:
        """Have `follower` called after each event; returns how to end that."""
        self._followers.append(follower)
        return lambda: self._followers.remove(follower)

    def number_of(self, cursor: str) -> tuple[int, Missed | None]:
        """The number that a cursor stands for, and what is missed when one goes on there.

        "" is before the first event. A cursor of another ring, or of an event that is not kept any more,
        means the oldest that is kept.
        """
        boot, _, text = (cursor or self.cursor_of(0)).partition("-")
        oldest = self._count - len(self._events)
        is_number = text.isdecimal() and len(text) <= _LONGEST_NUMBER
        if boot != self._boot or not is_number or int(text) > self._count:
            return oldest, Missed(None)
        number = int(text)
        return (number, None) if number >= oldest else (oldest, Missed(oldest - number))

    def after(self, number: int, most: int) -> Iterator[tuple[int, Event]]:
        """The events behind that of this number, with their own, oldest first, at most so many."""
        first = self._count - len(self._events)
        begin = max(number - first, 0)
        for index in range(begin, min(begin + most, len(self._events))):
            yield first + index + 1, self._events[index][0]

    def _on_event(self, event: Event) -> None:
        self._keep(event)
        match event:
            case MemorySampled():
                self.memory.note(event)
            case Notice(topic="server_removed"):
                self.memory.forget(event.server)
                self.former.note(event.server)
        self._tell_followers()

    def _keep(self, event: Event) -> None:
        """Add the newest, and drop the oldest: of what is kept a lot may be last lines of servers."""
        size = _size(event)
        self._events.append((event, size))
        self._count += 1
        self._bytes += size
        while len(self._events) > KEPT or self._bytes > _MOST_BYTES:
            self._bytes -= self._events.popleft()[1]

    def _tell_followers(self) -> None:
        for follower in self._followers:
            follower()


def _size(event: Event) -> int:
    """About how many bytes an event takes; only what may be long is looked at, as this delays a restart."""
    inner: object = getattr(event, event.unfolded, event)
    kind: Any = type(inner)
    values = [value for name in _long_names(kind) if (value := getattr(inner, name))]
    return _OVERHEAD + sum(map(_length, values))


@cache
def _long_names(kind: type) -> tuple[str, ...]:
    return tuple(name for name in _LONG if hasattr(kind, name))


def _length(value: object) -> int:
    match value:
        case str():
            return len(value)
        case PluginNote():
            return len(value.text)
        case tuple() | list():
            return sum(map(_length, value))
        case Mapping():
            return sum(map(_length, value.values()))
    return 0
