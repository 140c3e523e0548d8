"""A stream of the control API for programs without an event loop."""

from __future__ import annotations

import socket as sockets
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from types import TracebackType
from typing import Generic, Self, TypeVar

from hostler.client.connection import is_readable, open_socket
from hostler.client.errors import NotRunning
from hostler.client.frames import LONGEST_SILENCE, FrameReader, Gap
from hostler.client.place import PAUSE
from hostler.client.stream_state import StreamState

T = TypeVar("T")

_CHUNK = 65_536


class Feed(Generic[T]):
    """The values of a stream as they come, until hostler ends, or `close`. Iterate over it inside `with`.

    A Gap stands where some are missing. After a break it goes on where it was.
    """

    def __init__(self, state: StreamState[T]) -> None:
        self._state = state
        self._reader = FrameReader()
        self._opened: sockets.socket | None = None
        self._heard = 0.0
        self._end = threading.Event()
        self._in_use = threading.Lock()

    @property
    def cursor(self) -> str | None:
        """The place behind the value that was taken last; None where there was none yet."""
        return self._state.cursor

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it, also from another thread: whoever waits for the next value gets none."""
        self._end.set()
        opened = self._opened
        if opened is not None:
            with suppress(OSError):
                opened.shutdown(sockets.SHUT_RDWR)  # wakes who waits, and then closes it
        if self._in_use.acquire(blocking=False):
            self._disconnect()
            self._in_use.release()

    def __iter__(self) -> Iterator[T | Gap]:
        return self

    def __next__(self) -> T | Gap:
        while (value := self._state.take()) is None:
            if not self.poll(None):
                raise StopIteration
        return value

    def poll(self, seconds: float | None) -> bool:
        """Wait for news, at most so long (None: ever). False when nothing comes any more."""
        with self._in_use:
            try:
                self._look(seconds)
            except BaseException:
                self._disconnect()
                raise
            if self._end.is_set():
                self._disconnect()
            return not self._end.is_set()

    def _look(self, seconds: float | None) -> None:
        try:
            opened = self._opened or self._connect()
            if not self._end.is_set():
                self._receive(opened, seconds)
        except NotRunning:
            if not self._heard:
                raise
            self._end.set()
        except OSError:
            self._disconnect()
            time.sleep(PAUSE)

    def _connect(self) -> sockets.socket:
        opened = self._opened = open_socket(self._state.place)
        self._reader = FrameReader()
        self._heard = time.monotonic()
        opened.sendall(self._state.request())
        return opened

    def _receive(self, opened: sockets.socket, seconds: float | None) -> None:
        patience = self._heard + LONGEST_SILENCE - time.monotonic()
        if not is_readable(opened, patience if seconds is None else min(seconds, patience)):
            if time.monotonic() >= self._heard + LONGEST_SILENCE:
                raise ConnectionAbortedError("nothing came for so long that it must be dead")
            return
        try:
            data = opened.recv(_CHUNK)
        except TimeoutError:  # what came over TLS was nothing of the stream
            return
        if not data:
            raise self._reader.end()
        self._heard = time.monotonic()
        self._state.put(self._reader.feed(data))

    def _disconnect(self) -> None:
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()
