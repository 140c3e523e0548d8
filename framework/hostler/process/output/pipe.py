"""One output stream of one run, and all that its bytes go to."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from hostler.model.values import Line, StreamName
from hostler.process.output.lines import LineCutter, LineFeed, Tail
from hostler.process.output.sink_writer import SinkWriter
from hostler.secrets.masking import MaskedStream

# A sink may be behind by so much before its pipes are held, so that reading and writing go on side by side.
MOST_BYTES_BEHIND = 1024 * 1024


@dataclass(slots=True, eq=False, kw_only=True)
class Pipe:
    """One output stream of one run, and all that its bytes go to."""

    fd: int
    stream: StreamName
    mask: MaskedStream
    cutter: LineCutter
    feed: LineFeed
    writers: Sequence[SinkWriter]
    on_end: Callable[[], None]
    tail: Tail = field(default_factory=Tail)
    open: bool = True

    def is_held_up(self) -> bool:
        """Whether a sink has to catch up: before more is read, and at the end with all of it."""
        most = MOST_BYTES_BEHIND if self.open else 0
        return any(writer.backlog > most and not writer.hangs for writer in self.writers)

    def take(self, data: bytes) -> None:
        """Distribute masked bytes; writers only queue them."""
        if not data:
            return

        if self.feed.followed:
            self._offer(self._started_cutter().feed(data), len(data))
        elif self.cutter.running:
            self.cutter.stop()

        self.tail.add(data)
        for writer in self.writers:
            writer.put(self.stream, data)

    def close(self) -> None:
        """Close the descriptor, and give out what was held back and the unfinished last line."""
        self.open = False
        os.close(self.fd)
        self.take(self.mask.flush())
        if self.feed.followed:
            lines = self._started_cutter().end()
            self._offer(lines, sum(len(line.text) for line in lines))

    def _started_cutter(self) -> LineCutter:
        if not self.cutter.running:  # who begins to follow in the middle of a line gets all of it
            self.cutter.start(self.tail.data())
        return self.cutter

    def _offer(self, lines: list[Line], size: int) -> None:
        if lines:
            self.feed.offer(lines, size)
