"""How much output one server has printed over all its runs, and how much of it its sinks have lost."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from hostler.model.values import StreamName


class OutputCount:
    """Counts bytes, masked as they are. `read` is by stream, where it is captured; `lost` by all sinks."""

    def __init__(self) -> None:
        self.read: dict[StreamName, int] = {}
        self.lost = 0
        self._lock = threading.Lock()

    def expect(self, streams: Iterable[StreamName]) -> None:
        """Begin to count these."""
        for stream in streams:
            self.read.setdefault(stream, 0)

    def note(self, stream: StreamName, size: int) -> None:
        """Count what was read, on the one thread that serves the pipes."""
        self.read[stream] += size

    def note_lost(self, size: int) -> None:
        """Count what a sink did not write, on the thread that it has."""
        with self._lock:
            self.lost += size
