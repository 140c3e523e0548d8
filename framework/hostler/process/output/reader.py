"""The thread that reads the output of all children, and its replacement when a sink hangs."""

from __future__ import annotations

import contextlib
import errno
import os
import selectors
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from functools import partial
from typing import TypeAlias

from hostler.process.output.pipe import Pipe
from hostler.process.output.reader_lease import SINK_TIMEOUT, ReaderLease
from hostler.process.output.sink_writer import SinkWriter
from hostler.process.tree.run_mark import OUTPUT_THREAD_NAME

READ_SIZES = (64 * 1024,) + (256 * 1024,) * 4
"""Bytes of the reads in a row from one pipe while each gets all that it asked for."""

MUCH = 16 * 1024
"""Bytes of one read that show a flood: a pipe of 64 KiB is full with less, as a write may begin a page."""

FLUSH_DELAY = 0.05
"""Seconds after which an end that may begin a secret is given out."""

_LITTLE, _MEMORY_REST = 4096, 0.1

Command: TypeAlias = Callable[[ReaderLease], None]


class ReaderThread:
    """Reads pipes in a daemon thread that is started by the first command.

    While sinks are called a second thread watches the first, so that one that hangs in a sink for
    `SINK_TIMEOUT` seconds is replaced: it comes back to its sink's queue only. The watcher ends when no
    sink is called any more: idle children cost one thread that sleeps.
    """

    def __init__(self) -> None:
        self._commands: deque[Command] = deque()
        self._flush_at: dict[Pipe, float] = {}
        self._threads: list[threading.Thread] = []
        self._selector: selectors.BaseSelector | None = None
        self._wakeup_w = -1
        self._lease = ReaderLease(self._start_watching)
        self._closing = threading.Event()

    @property
    def closed(self) -> bool:
        """Whether nothing is read any more."""
        return self._closing.is_set()

    def post(self, *commands: Command) -> None:
        """Have `commands` executed by the thread, which is started if need be. Does nothing once closed.

        A command that hangs in a sink is executed again by the next thread: it has to be idempotent.
        """
        if self._closing.is_set():
            return
        self._commands.extend(commands)
        with contextlib.suppress(OSError, RuntimeError):  # no descriptor or no thread: the next may have one
            self._start()
        self._wake_up()

    def add(self, *pipes: Pipe) -> None:
        """Read `pipes` from now on, to their ends. OSError when nobody can do it: they are to be retired."""
        if not pipes or self._closing.is_set():
            return
        try:
            selector = self._start()
        except RuntimeError as error:  # no thread
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
        # From here, while the thread waits in it: to wake that up costs more than all else that is done here.
        for pipe in pipes:
            selector.register(pipe.fd, selectors.EVENT_READ, pipe)

    def retire(self, pipe: Pipe) -> None:
        """Take what is in `pipe` and end it, whoever else still holds it."""

        def finish(lease: ReaderLease) -> None:
            if pipe.open:
                self._read(pipe, lease)
            if pipe.open and not lease.expired:
                self._end(pipe, lease)

        self.post(finish)

    def end(self, writer: SinkWriter) -> None:
        """Close the sink of `writer` after all that is queued for it."""

        def finish(lease: ReaderLease) -> None:
            writer.end()
            writer.drain(lease)

        self.post(finish)

    def close(self, timeout: float) -> bool:
        """Execute what was posted, end the threads and release all; False when one hangs in a sink."""
        if self._selector is None and not self._commands:
            self._closing.set()
            return True

        self.post(lambda _lease: self._closing.set())

        if not self._threads:
            self._run_commands(self._lease)

        self._closing.wait(timeout)
        self._closing.set()
        deadline = time.monotonic() + timeout / 4

        for thread in tuple(self._threads):
            thread.join(max(0.0, deadline - time.monotonic()))

        self._lease.expire()
        self._release()
        return not any(thread.is_alive() for thread in self._threads)

    def _release(self) -> None:
        if self._selector is not None:
            for key in tuple(self._selector.get_map().values()):
                os.close(key.fd)
            os.close(self._wakeup_w)
            self._selector.close()

    def _start(self) -> selectors.BaseSelector:
        """Start the thread if there is none. Raises OSError or RuntimeError; the next call tries again."""
        selector = self._selector or self._open_selector()
        if not self._threads:
            self._start_thread(self._serve, self._lease)
        return selector

    def _open_selector(self) -> selectors.BaseSelector:
        wakeup_r, wakeup_w = os.pipe()

        try:
            selector = selectors.DefaultSelector()
        except OSError:
            os.close(wakeup_r)
            os.close(wakeup_w)
            raise

        os.set_blocking(wakeup_r, False)
        os.set_blocking(wakeup_w, False)
        selector.register(wakeup_r, selectors.EVENT_READ, None)
        self._selector, self._wakeup_w = selector, wakeup_w
        return selector

    def _start_thread(self, function: Callable[[ReaderLease], None], lease: ReaderLease) -> None:
        thread = threading.Thread(target=function, args=(lease,), name=OUTPUT_THREAD_NAME, daemon=True)
        self._threads = [one for one in self._threads if one.is_alive()]
        thread.start()
        self._threads.append(thread)

    def _wake_up(self) -> None:
        if self._selector is not None:
            with contextlib.suppress(BlockingIOError):  # full: it wakes up already
                os.write(self._wakeup_w, b"!")

    def _serve(self, lease: ReaderLease) -> None:
        selector = self._selector
        assert selector is not None

        while not self._closing.is_set() and not lease.expired:
            try:
                self._serve_ready(selector, lease)
            except MemoryError:
                # Without this thread all children would hang at full pipes, and their stops too.
                time.sleep(_MEMORY_REST)
                self._wake_up()  # for a command that was cut short

    def _serve_ready(self, selector: selectors.BaseSelector, lease: ReaderLease) -> None:
        for key, _ in selector.select(self._next_flush()):
            self._serve_one(key, lease)
            if lease.expired:
                return
        self._flush(lease)

    def _serve_one(self, key: selectors.SelectorKey, lease: ReaderLease) -> None:
        pipe: Pipe | None = key.data
        if pipe is None:
            self._read_wakeup(key.fd, lease)
        elif pipe.open and self._read(pipe, lease):
            self._end(pipe, lease)

    def _read_wakeup(self, wakeup_r: int, lease: ReaderLease) -> None:
        with contextlib.suppress(BlockingIOError):
            os.read(wakeup_r, 4096)
        self._run_commands(lease)

    def _run_commands(self, lease: ReaderLease) -> None:
        while self._commands:
            self._commands[0](lease)
            if lease.expired:  # it hung in a sink: whoever took over executes it again
                return
            self._commands.popleft()

    def _read(self, pipe: Pipe, lease: ReaderLease) -> bool:
        """Read what is there, within a bound; True at the end of the stream."""
        for size in READ_SIZES:
            try:
                data = _read_some(pipe.fd, size)
            except BlockingIOError:
                return False
            if not data:
                return True
            pipe.take(pipe.mask.feed(data))
            self._schedule_flush(pipe)
            self._write_to_sinks(pipe.writers, lease)
            if len(data) >= MUCH and not pipe.grown:
                pipe.grow()
            if len(data) < size or lease.expired:
                return False

        return False

    def _schedule_flush(self, pipe: Pipe) -> None:
        if pipe.mask.pending:
            self._flush_at[pipe] = time.monotonic() + FLUSH_DELAY
        elif self._flush_at:
            self._flush_at.pop(pipe, None)

    def _write_to_sinks(self, writers: Sequence[SinkWriter], lease: ReaderLease) -> None:
        lease.note_turn(writers)
        for writer in writers:
            writer.drain(lease)

    def _end(self, pipe: Pipe, lease: ReaderLease) -> None:
        self._flush_at.pop(pipe, None)
        with contextlib.suppress(KeyError):  # it was retired because there was no descriptor to read it with
            if self._selector is not None:
                self._selector.unregister(pipe.fd)
        pipe.close()
        self._write_to_sinks(pipe.writers, lease)

    def _next_flush(self) -> float | None:
        if not self._flush_at:
            return None
        return max(0.0, min(self._flush_at.values()) - time.monotonic())

    def _flush(self, lease: ReaderLease) -> None:
        now = time.monotonic() if self._flush_at else 0.0
        for pipe in [one for one, when in self._flush_at.items() if when <= now]:
            del self._flush_at[pipe]
            pipe.take(pipe.mask.flush())
            self._write_to_sinks(pipe.writers, lease)
            if lease.expired:
                return

    def _start_watching(self, lease: ReaderLease) -> None:
        if self._closing.is_set() or not lease.start_watching():
            return
        try:
            self._start_thread(self._watch, lease)
        except RuntimeError:  # no more threads: nobody watches until there are
            lease.drop_watch()

    def _watch(self, lease: ReaderLease) -> None:
        """Sleep until a call has taken too long, and take the pipes over; or end when there are no calls."""
        calls, wait = -1, SINK_TIMEOUT
        while not self._closing.wait(wait):
            if lease.expire_if_hung():
                self._take_over(lease)
                return
            since = lease.since
            if since is None and lease.calls == calls and lease.stop_watching():
                return
            calls = lease.calls
            wait = SINK_TIMEOUT if since is None else max(0.001, since + SINK_TIMEOUT - time.monotonic())

    def _take_over(self, lease: ReaderLease) -> None:
        if lease.writer is not None:
            lease.writer.report_hanging(SINK_TIMEOUT)
        self._lease = ReaderLease(self._start_watching)
        # What it had not come to; nothing more may come of that pipe for a long time.
        self._commands.appendleft(partial(self._write_to_sinks, lease.writers))
        self._wake_up()
        self._serve(self._lease)


def _read_some(fd: int, size: int) -> bytes:
    try:
        return os.read(fd, size)
    except MemoryError:
        return os.read(fd, _LITTLE)
