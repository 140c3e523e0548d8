"""One output stream of one run, and all that its bytes go to."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Callable, Sequence

from msgspec import Struct

from hostler.model.values import StreamName
from hostler.process.output.lines import LineCutter, LineFeed, Tail
from hostler.process.output.output_count import OutputCount
from hostler.process.output.sink_writer import SinkWriter
from hostler.secrets.masking import MaskedStream

SIZE = 256 * 1024
"""Bytes that a pipe holds whose child prints much."""


class Pipe(Struct, eq=False, kw_only=True):
    """One output stream of one run, and all that its bytes go to."""

    fd: int
    stream: StreamName
    mask: MaskedStream
    cutter: LineCutter
    feed: LineFeed
    count: OutputCount
    writers: Sequence[SinkWriter]
    tail: Tail
    on_end: Callable[[], None]
    open: bool = True
    ended: bool = False  # and all of it was given out
    grown: bool = False

    def grow(self) -> None:
        """Let the child print on while we are busy, where its user's share of large pipes is not used up."""
        # Not all pipes from the beginning: the kernel counts them against all programs of the user.
        self.grown = True
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with contextlib.suppress(OSError):
                fcntl.fcntl(self.fd, fcntl.F_SETPIPE_SZ, SIZE)

    def take(self, data: bytes) -> None:
        """Distribute masked bytes; writers only queue them."""
        if not data:
            return

        if self.feed.followed:
            self._cut(data)
        elif self.cutter.running:
            self.cutter.stop()

        self.count.note(self.stream, len(data))
        self.tail.add(data)

        for writer in self.writers:
            writer.put(self.stream, data)

    def _cut(self, data: bytes) -> None:
        self._ensure_cutting()
        lines = self.cutter.feed(data)
        if lines:
            self.feed.offer(lines, len(data))

    def _ensure_cutting(self) -> None:
        if not self.cutter.running:
            self.cutter.start(self.tail.data())

    def close(self) -> None:
        """Close the descriptor, and give out what was held back, the unfinished last line, and the end."""
        self.open = False
        os.close(self.fd)
        self.take(self.mask.flush())

        if self.feed.followed:
            self._ensure_cutting()
            lines = self.cutter.end()
            if lines:
                self.feed.offer(lines, len(lines[0].text))

        for writer in self.writers:
            writer.end_stream(self.stream)

        self.ended = True
        self.on_end()
