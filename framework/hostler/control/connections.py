"""The connections of one listening socket: how many there may be, and which of them make room."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import TYPE_CHECKING, NamedTuple

from hostler.control.problems import Refused

if TYPE_CHECKING:
    from aiohttp import web

MOST = 64
"""How many may ask at the same time, beside those that follow a stream."""

MOST_STREAMS = 128

_MOST_OPEN = 2 * MOST + MOST_STREAMS
_FIRST_SECONDS = 30.0  # within which the first request has to be there
_GRACE_SECONDS = 1.0  # whose request may be under way stays


class _Waiting(NamedTuple):
    """Since when a connection waits for a request; before the first one, what would close it."""

    since: float
    end: asyncio.TimerHandle | None = None


class Connections:
    """Counts the connections of a server, and closes who has waited for longest when another needs room."""

    def __init__(self, http: web.Server) -> None:
        self._http = http
        self._waiting: dict[web.RequestHandler, _Waiting] = {}  # that for longest first
        self._streams = 0

    @property
    def is_full(self) -> bool:
        """Whether there are so many that a new one is not even read."""
        return len(self._http.connections) >= _MOST_OPEN

    def add(self, connection: web.RequestHandler) -> None:
        """Take a new connection, and close one for it where it is one too many."""
        there = set(self._http.connections)
        self._waiting = {one: waiting for one, waiting in self._waiting.items() if one in there}
        if len(there) - self._streams >= MOST:
            self._close_longest()
        loop = asyncio.get_running_loop()
        end = loop.call_later(_FIRST_SECONDS, connection.force_close)
        self._waiting[connection] = _Waiting(monotonic(), end)

    def _close_longest(self) -> None:
        longest = next(iter(self._waiting), None)
        if longest is not None and monotonic() - self._waiting[longest].since >= _GRACE_SECONDS:
            self._end_waiting(longest)
            longest.force_close()

    @contextmanager
    def asking(self, connection: web.RequestHandler) -> Iterator[None]:
        """While a request of it is answered it makes no room."""
        self._end_waiting(connection)
        try:
            yield
        finally:
            self._waiting[connection] = _Waiting(monotonic())

    def _end_waiting(self, connection: web.RequestHandler) -> None:
        waiting = self._waiting.pop(connection, None)
        if waiting is not None and waiting.end is not None:
            waiting.end.cancel()

    @contextmanager
    def streaming(self) -> Iterator[None]:
        """While a stream is sent it has a place among those."""
        self._streams += 1
        try:
            yield
        finally:
            self._streams -= 1

    def refuse_too_many(self, *, streams: bool) -> None:
        """Raise Refused for a request that is one too many."""
        if streams and self._streams >= MOST_STREAMS:
            raise Refused("too_many", f"{MOST_STREAMS} streams are open, which is the most")
        # One that is kept open and asks nothing takes no place: each client has such a one.
        if not streams and len(set(self._http.connections) - self._waiting.keys()) - self._streams > MOST:
            raise Refused("too_many", f"{MOST} requests are being answered, which is the most")
