"""The time of one thread at the pipes, and whether it hangs in a sink."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from hostler.process.output.sink_writer import SinkWriter

PATIENCE = 1.0
"""Seconds that a sink may hold up the output of everybody."""


class ReaderLease:
    """The time of one thread at the pipes: over when it hangs in a sink and another takes them over."""

    def __init__(self, on_first_call: Callable[[ReaderLease], None]) -> None:
        self._on_first_call = on_first_call
        self._lock = threading.Lock()
        self.over = False
        self.watched = False
        self.calls = 0
        self.since: float | None = None
        self.outlet: SinkWriter | None = None

    def begin(self, outlet: SinkWriter) -> None:
        """A sink is being called: somebody has to watch."""
        self.outlet = outlet
        self.since = time.monotonic()

        if not self.watched and not self.over:
            self._on_first_call(self)

    def end(self) -> None:
        """The sink's call has returned. `over` does not change until the next one begins."""
        with self._lock:
            self.since = None
            self.calls += 1

    def hangs(self) -> bool:
        """Whether a call has taken too long: the turn is over then."""
        with self._lock:
            self.over = self.since is not None and time.monotonic() - self.since >= PATIENCE
            return self.over

    def unwatch(self) -> bool:
        """Stop watching; False when a call has begun meanwhile."""
        self.watched = False
        return self.since is None
