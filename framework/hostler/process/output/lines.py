"""One output stream as text: its tail, the cutting into lines, and the delivery of lines to followers."""

from __future__ import annotations

import asyncio
import contextlib
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TypeAlias

from hostler.concurrency.flag import Flag
from hostler.model.values import Line, StreamName

TAIL = 64 * 1024
LONGEST_LINE = 8 * 1024
MOST_LINES_WAITING = 65_536
MOST_BYTES_WAITING = 16 * 1024 * 1024
_SMALL = 4 * 1024
_SLICE = 0.01  # seconds at a time on the loop's thread
_LARGEST_PIECE = 64

LinesCallback: TypeAlias = Callable[[list[Line]], None]


def call_on_loop(loop: asyncio.AbstractEventLoop, function: Callable[..., object], *args: object) -> None:
    """Call `function` on the loop's thread, or not at all when the loop is closed."""
    with contextlib.suppress(RuntimeError):
        loop.call_soon_threadsafe(function, *args)


class Tail:
    """The last 64 KiB of a stream."""

    # Chunks are kept as they came: nothing of a flood is copied. Small ones are joined, or a thousand short
    # lines would be a thousand objects.

    def __init__(self) -> None:
        self._chunks: list[bytes] = []  # a few only; a deque takes 700 bytes when it is empty
        self._size = 0
        self._lock = threading.Lock()

    def add(self, data: bytes) -> None:
        """Append a chunk and forget what is no longer among the last."""
        chunks = self._chunks
        data = data[-TAIL:]

        with self._lock:
            if chunks and len(chunks[-1]) + len(data) <= _SMALL:
                chunks[-1] += data
            else:
                chunks.append(data)
            self._size += len(data)
            while self._size - len(chunks[0]) >= TAIL:
                self._size -= len(chunks.pop(0))

    def data(self) -> bytes:
        """The last bytes, 64 KiB at most."""
        with self._lock:
            return b"".join(self._chunks)[-TAIL:]


class LineCutter:
    """Cuts one stream into lines; of an overlong line only the beginning is kept."""

    def __init__(self, stream: StreamName, generation: int) -> None:
        self.running = False
        self._stream = stream
        self._generation = generation
        self._partial = bytearray()
        self._number = 0

    def start(self, before: bytes) -> None:
        """Begin, perhaps in the middle of a line: `before` is what came until now."""
        self.running = True
        self._partial = bytearray(before[before.rfind(b"\n") + 1 :][:LONGEST_LINE])

    def stop(self) -> None:
        """Forget the unfinished line; lines that pass now are not counted."""
        self.running = False
        self._partial.clear()

    def feed(self, data: bytes) -> list[Line]:
        """Take a chunk and return the lines that it completes."""
        first, *others = data.split(b"\n")
        self._extend(first)
        if not others:
            return []

        lines = [self._line(self._partial), *map(self._line, others[:-1])]
        self._partial.clear()
        self._extend(others[-1])
        return lines

    def end(self) -> list[Line]:
        """Return the unfinished last line, if there is one."""
        lines = [self._line(self._partial)] if self._partial else []
        self.stop()
        return lines

    def _extend(self, piece: bytes) -> None:
        self._partial += piece[: LONGEST_LINE - len(self._partial)]

    def _line(self, piece: bytes | bytearray) -> Line:
        self._number += 1
        text = piece[:LONGEST_LINE].removesuffix(b"\r").decode(errors="replace")
        return Line(self._stream, text, self._number, self._generation)


class LineFeed:
    """Carries lines from the output thread to callbacks on the loop's thread, bounded if the loop is slow."""

    def __init__(self, loop: asyncio.AbstractEventLoop, on_dropped: Callable[[int], None]) -> None:
        self._loop = loop
        self._on_dropped = on_dropped
        self._callbacks: tuple[LinesCallback, ...] = ()
        self._lock = threading.Lock()
        self._queue: deque[tuple[list[Line], int]] | None = None  # an empty one takes 760 bytes
        self._waiting = 0
        self._bytes = 0
        self._unreported = 0
        self._batch: list[Line] = []  # what is being delivered, and how much of it was
        self._delivered = 0
        self._piece = 1
        self.dropped = 0
        self.idle = Flag()  # set while no line waits
        self.idle.set()

    @property
    def followed(self) -> bool:
        """Whether anybody follows."""
        return bool(self._callbacks)

    def follow(self, callback: LinesCallback) -> Callable[[], None]:
        """Deliver batches of lines to `callback` from now on; the result ends it."""
        this = partial(callback)  # one function may follow twice

        def unfollow() -> None:
            self._callbacks = tuple(one for one in self._callbacks if one is not this)

        self._callbacks = (*self._callbacks, this)
        return unfollow

    def offer(self, lines: list[Line], size: int) -> None:
        """Queue a batch (on the output thread) of so many bytes; the oldest ones go when too much waits."""
        with self._lock:
            idle = self.idle.is_set()
            self.idle.clear()
            if self._queue is None:
                self._queue = deque()
            self._queue.append((lines, size))
            self._waiting += len(lines)
            self._bytes += size
            while len(self._queue) > 1 and self._is_overfull():  # the newest batch is kept, however large
                dropped = len(self._take())
                self._unreported += dropped
                self.dropped += dropped

        if idle:
            call_on_loop(self._loop, self._deliver)

    def discard(self) -> None:
        """Drop what waits and report it: its followers were too slow (on the loop's thread)."""
        with self._lock:
            left = self._waiting + len(self._batch) - self._delivered
            lost, self._unreported = self._unreported + left, 0
            self._queue = None
            self._waiting = self._bytes = 0
        self._batch, self._delivered = [], 0
        if lost and self._callbacks:
            self.dropped += left
            self._on_dropped(lost)

    def _is_overfull(self) -> bool:
        return self._waiting > MOST_LINES_WAITING or self._bytes > MOST_BYTES_WAITING

    def _take(self) -> list[Line]:
        lines, size = self._queue.popleft() if self._queue else ([], 0)
        self._waiting -= len(lines)
        self._bytes -= size
        return lines

    def _deliver(self) -> None:
        """Hand out lines for a moment."""
        # In growing pieces while the followers are quick, line by line when they are slow: then the loop,
        # which has other things to do, is held up for one line at most beyond its slice.
        began = time.monotonic()
        until = began + _SLICE

        while self._fetch():
            lines = self._batch[self._delivered : self._delivered + self._piece]
            self._delivered += len(lines)
            for callback in self._callbacks:
                self._call(callback, lines)
            now = time.monotonic()
            self._piece = min(2 * self._piece, _LARGEST_PIECE) if now - began < _SLICE / 4 else 1
            began = now
            if now >= until:
                self._loop.call_soon(self._deliver)
                return

    def _fetch(self) -> bool:
        """Whether there is something to hand out."""
        if self._delivered < len(self._batch):
            return True

        with self._lock:
            unreported, self._unreported = self._unreported, 0
            self._batch, self._delivered = self._take(), 0
            if not self._batch:
                self.idle.set()

        if unreported:  # what came after them waits, so there is a batch
            self._batch[0] = replace(self._batch[0], missed=unreported)
            self._on_dropped(unreported)

        return bool(self._batch)

    def _call(self, callback: LinesCallback, lines: list[Line]) -> None:
        try:
            callback(lines)
        except Exception as error:  # noqa: BLE001 - one follower's fault is not the others'
            self._loop.call_exception_handler({"message": "a follower of output failed", "exception": error})
