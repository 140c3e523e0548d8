"""The one thread that reads the output of all children, and its replacement when a sink hangs."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import TypeAlias

from hostler.process.output.pipe import Pipe
from hostler.process.output.reader_lease import PATIENCE, ReaderLease
from hostler.process.output.sink_writer import SinkWriter

READ_SIZES = (64 * 1024,) + (256 * 1024,) * 4
"""Bytes of the reads in a row from one pipe while each gets all that it asked for."""

QUIET = 0.05
"""Seconds after which an end that may begin a secret is given out."""


Command: TypeAlias = Callable[[ReaderLease], None]


class ReaderThread:
    """Reads pipes in a daemon thread that is started by the first command.

    While sinks are called a second thread watches the first, so that one that hangs in a sink for
    `PATIENCE` seconds is replaced: it comes back to its sink's queue only. The watcher ends when no
    sink is called any more: idle children cost one thread that sleeps.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._commands: deque[Command] = deque()
        self._quiet: dict[Pipe, float] = {}
        self._threads: list[threading.Thread] = []
        self._selector: selectors.BaseSelector | None = None
        self._bell = -1
        self._turn = ReaderLease(self._watch_from_now_on)
        self._quit = threading.Event()

    @property
    def closed(self) -> bool:
        """Whether nothing is read any more."""
        return self._quit.is_set()

    def post(self, *commands: Command) -> None:
        """Have `commands` executed by the thread, which is started if need be. Does nothing once closed.

        A command that hangs in a sink is executed again by the next thread: it must bear that.
        """
        if self._quit.is_set():
            return

        self._commands.extend(commands)

        with contextlib.suppress(OSError, RuntimeError):  # no descriptor or no thread: the next may have one
            self._begin()

        self._ring()

    def add(self, *pipes: Pipe) -> None:
        """Read `pipes` from now on, to their ends. OSError when nobody can do it: they are to be retired."""
        if pipes:
            self.post(*(partial(self._register, pipe) for pipe in pipes))

            if not self._threads:
                self._begin_or_raise()

    def _begin_or_raise(self) -> None:
        """Try once more, and have the error say what is short."""
        try:
            self._begin()
        except RuntimeError as error:  # no thread
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error

        self._ring()

    def retire(self, pipe: Pipe) -> None:
        """Take what is in `pipe` and end it, whoever else still holds it."""

        def finish(turn: ReaderLease) -> None:
            if pipe.open:
                self._read(pipe, turn)

            if pipe.open and not turn.over:
                self._end(pipe, turn)

        self.post(finish)

    def end(self, outlet: SinkWriter) -> None:
        """Close the sink of `outlet` after all that is queued for it."""

        def finish(turn: ReaderLease) -> None:
            outlet.end()
            outlet.drain(turn)

        self.post(finish)

    def close(self, timeout: float) -> bool:
        """Execute what was posted, end the threads and release all; False when one hangs in a sink."""
        if self._selector is None and not self._commands:
            self._quit.set()
            return True

        self.post(lambda _turn: self._quit.set())

        if not self._threads:
            self._work_off(self._turn)

        self._quit.wait(timeout)
        self._quit.set()
        deadline = time.monotonic() + timeout / 4

        for thread in tuple(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))

        self._turn.over = True
        self._release()
        return not any(thread.is_alive() for thread in self._threads)

    def _release(self) -> None:
        if self._selector is not None:
            for key in tuple(self._selector.get_map().values()):
                os.close(key.fd)

            os.close(self._bell)
            self._selector.close()

    def _begin(self) -> None:
        """Start the thread if there is none. Raises OSError or RuntimeError; the next call tries again."""
        if self._selector is None:
            self._open()

        if not self._threads:
            self._thread(self._serve, self._turn)

    def _open(self) -> None:
        ear, bell = os.pipe()

        try:
            selector = selectors.DefaultSelector()
        except OSError:
            os.close(ear)
            os.close(bell)
            raise

        os.set_blocking(ear, False)
        os.set_blocking(bell, False)
        selector.register(ear, selectors.EVENT_READ, None)
        self._selector, self._bell = selector, bell

    def _thread(self, function: Callable[[ReaderLease], None], turn: ReaderLease) -> None:
        thread = threading.Thread(target=function, args=(turn,), name="hostler-output", daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()]
        thread.start()
        self._threads.append(thread)

    def _ring(self) -> None:
        if self._selector is not None:
            with contextlib.suppress(BlockingIOError):  # full: it rings already
                os.write(self._bell, b"!")

    def _serve(self, turn: ReaderLease) -> None:
        selector = self._selector
        assert selector is not None

        while not self._quit.is_set():
            for key, _ in selector.select(self._until_quiet()):
                self._serve_one(key, turn)

                if turn.over:
                    return

            self._flush(turn)

            if turn.over:
                return

    def _serve_one(self, key: selectors.SelectorKey, turn: ReaderLease) -> None:
        pipe: Pipe | None = key.data

        if pipe is None:
            self._obey(key.fd, turn)
        elif pipe.open and self._read(pipe, turn):
            self._end(pipe, turn)

    def _obey(self, ear: int, turn: ReaderLease) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(ear, 4096)

        self._work_off(turn)

    def _work_off(self, turn: ReaderLease) -> None:
        while self._commands:
            self._commands[0](turn)

            if turn.over:  # it hung in a sink: whoever took over executes it again
                return

            self._commands.popleft()

    def _register(self, pipe: Pipe, _turn: ReaderLease) -> None:
        if self._selector is not None:
            self._selector.register(pipe.fd, selectors.EVENT_READ, pipe)

    def _read(self, pipe: Pipe, turn: ReaderLease) -> bool:
        """Read what is there, within a bound; True at the end of the stream."""
        for size in READ_SIZES:
            try:
                data = os.read(pipe.fd, size)
            except BlockingIOError:
                return False

            if not data:
                return True

            pipe.take(pipe.mask.feed(data))
            self._note_pending(pipe)
            self._drain(pipe, turn)

            if len(data) < size or turn.over:
                return False

        return False

    def _note_pending(self, pipe: Pipe) -> None:
        if pipe.mask.pending:
            self._quiet[pipe] = time.monotonic() + QUIET
        elif self._quiet:
            self._quiet.pop(pipe, None)

    def _drain(self, pipe: Pipe, turn: ReaderLease) -> None:
        for outlet in pipe.outlets:
            outlet.drain(turn)

    def _end(self, pipe: Pipe, turn: ReaderLease) -> None:
        pipe.open = False
        self._quiet.pop(pipe, None)

        if self._selector is not None:
            self._selector.unregister(pipe.fd)

        os.close(pipe.fd)
        pipe.finish()
        self._drain(pipe, turn)

    def _until_quiet(self) -> float | None:
        if not self._quiet:
            return None

        return max(0.0, min(self._quiet.values()) - time.monotonic())

    def _flush(self, turn: ReaderLease) -> None:
        now = time.monotonic() if self._quiet else 0.0

        for pipe in [one for one, when in self._quiet.items() if when <= now]:
            del self._quiet[pipe]
            pipe.take(pipe.mask.flush())
            self._drain(pipe, turn)

            if turn.over:
                return

    def _watch_from_now_on(self, turn: ReaderLease) -> None:
        with self._lock:
            if turn.watched or self._quit.is_set():
                return

            turn.watched = True

        try:
            self._thread(self._watch, turn)
        except RuntimeError:  # no more threads: nobody watches until there are
            turn.watched = False

    def _watch(self, turn: ReaderLease) -> None:
        """Sleep until a call has taken too long, and take the pipes over; or end when there are no calls."""
        calls, wait = -1, PATIENCE

        while not self._quit.wait(wait):
            if turn.hangs():
                self._take_over(turn)
                return

            since = turn.since

            if since is None and turn.calls == calls and self._at_rest(turn):
                return

            calls = turn.calls
            wait = PATIENCE if since is None else max(0.001, since + PATIENCE - time.monotonic())

    def _at_rest(self, turn: ReaderLease) -> bool:
        if turn.unwatch():
            return True

        with self._lock:
            other, turn.watched = turn.watched, True

        return other

    def _take_over(self, turn: ReaderLease) -> None:
        if turn.outlet is not None:
            turn.outlet.stuck(PATIENCE)

        self._turn = ReaderLease(self._watch_from_now_on)
        self._ring()
        self._serve(self._turn)
