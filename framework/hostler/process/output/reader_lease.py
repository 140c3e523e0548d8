"""The right of one thread to read the pipes, and the watch over it: it expires when a sink's call hangs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence

from hostler.process.output.sink_writer import SinkWriter

SINK_TIMEOUT = 1.0
"""Seconds that a sink may hold up the output of everybody."""


class ReaderLease:
    """The right of one thread to read the pipes, until its call of a sink hangs and another takes over.

    Sinks are called on the reading thread itself, so that a slow sink slows its child down instead of losing
    output, and idle servers cost no thread. The price is this lease.
    """

    def __init__(self, on_first_call: Callable[[ReaderLease], None]) -> None:
        self._on_first_call = on_first_call
        self._lock = threading.Lock()
        self.expired = False
        self.watched = False
        self.calls = 0
        self.since: float | None = None
        self.writer: SinkWriter | None = None
        self.writers: Sequence[SinkWriter] = ()

    def note_turn(self, writers: Sequence[SinkWriter]) -> None:
        """Note which writers are served one after the other: who takes over goes on with them."""
        self.writers = writers

    def begin(self, writer: SinkWriter) -> None:
        """Note that a sink is being called: somebody has to watch."""
        self.writer = writer
        self.since = time.monotonic()
        if not self.watched and not self.expired:
            self._on_first_call(self)

    def end(self) -> None:
        """Note that the sink's call has returned. `expired` does not change until the next one begins."""
        with self._lock:
            self.since = None
            self.calls += 1

    def expire(self) -> None:
        """End it whatever the thread is doing."""
        self.expired = True

    def expire_if_hung(self) -> bool:
        """Whether a call has taken too long: the lease has expired then."""
        with self._lock:
            self.expired = self.since is not None and time.monotonic() - self.since >= SINK_TIMEOUT
            return self.expired

    def start_watching(self) -> bool:
        """Become its only watcher; False when there is one already."""
        with self._lock:
            watched, self.watched = self.watched, True
        return not watched

    def stop_watching(self) -> bool:
        """Stop watching; False when a call has begun meanwhile that nobody else watches."""
        self.watched = False
        return self.since is None or not self.start_watching()

    def drop_watch(self) -> None:
        """Be without a watcher, as no thread could be started: the next call of a sink tries again."""
        self.watched = False
