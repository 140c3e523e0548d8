"""The thread that reads the output of all children. It calls no sink, so none can hold it up."""

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

from hostler.process.output.pipe import Pipe
from hostler.process.output.sink_writer import SinkWriter
from hostler.process.tree.run_mark import OUTPUT_THREAD_NAME

# The reads in a row from one pipe while each gets all that it asked for: a flood is read in few large pieces,
# and the bound keeps it from starving the others.
READ_SIZES = (64 * 1024,) + (256 * 1024,) * 4

# An end that may begin a secret is given out after this moment of quiet, so that a prompt can be read.
FLUSH_DELAY = 0.05

# Looks at all pipes before the sinks get what was read: to change threads for each piece is dear.
ROUNDS = 4

# Seconds between two looks at busy sinks: not in each turn, which would slow a flood down.
WATCH_PAUSE = 0.1

# Long enough for a sink to be found hanging, which takes SINK_TIMEOUT.
CLOSE_TIMEOUT = 1.5


class ReaderThread:
    """Reads pipes in a daemon thread that is started by the first command.

    A pipe whose sinks are behind is held: it is not read until they have caught up, or hang.
    """

    # One thread for all children: five hundred idle ones cost one that sleeps. It calls no sink itself, as
    # one that hangs would hold up everybody's output. A pipe is held so that a slow sink slows its own child
    # down instead of losing output; one that hangs must not, since its child would hang, too.

    def __init__(self) -> None:
        self.closed = False
        self._commands: deque[Callable[[], None]] = deque()
        self._flush_at: dict[Pipe, float] = {}
        self._held: set[Pipe] = set()
        self._busy: set[SinkWriter] = set()
        self._watch_at = 0.0
        self._thread: threading.Thread | None = None
        self._selector: selectors.BaseSelector | None = None
        self._wakeup_w = -1
        self._wakeup_lock = threading.Lock()

    def post(self, *commands: Callable[[], None]) -> None:
        """Have the thread execute `commands`, and start it if need be. Does nothing once closed."""
        if self.closed:
            return
        self._commands.extend(commands)
        with contextlib.suppress(OSError):  # the next call may have a descriptor, and a thread
            self._start()
        self._wake_up()

    def add(self, *pipes: Pipe) -> None:
        """Read `pipes` from now on, to their ends. OSError when nobody can do it: they are to be retired."""
        if not pipes:
            return
        self.post(*(partial(self._register, pipe) for pipe in pipes))
        self._start()  # where it failed: the error names what there is too little of

    def retire(self, pipe: Pipe) -> None:
        """Take what is in `pipe` and end it, whoever else still holds it."""

        def finish() -> None:
            if pipe.open:
                self._read(pipe)
                self._end(pipe)

        self.post(finish)

    def end(self, writer: SinkWriter) -> None:
        """Close the sink of `writer` after all that is queued for it."""

        def finish() -> None:
            writer.end()
            self._busy.add(writer)

        self.post(finish)

    def wake_held(self) -> None:
        """Go on with what waited for a sink; called by the threads of the sinks."""
        if self._held:  # no lock: the reader looks at the sinks once more after it has held a pipe
            self._wake_up()

    def close(self) -> None:
        """Execute what was posted, end the threads and release all; a sink that hangs is left behind."""
        if self._selector is None and not self._commands:
            self.closed = True
            return

        until = time.monotonic() + CLOSE_TIMEOUT
        self.post(self._stop)
        if self._thread is None:
            self._run_commands()
        else:
            self._thread.join(CLOSE_TIMEOUT)

        for writer in self._busy:
            writer.start()
        for writer in self._busy:
            writer.join(until - time.monotonic())
        for pipe in tuple(self._held):
            pipe.on_end()
        self._release()

    def _stop(self) -> None:
        self.closed = True

    def _release(self) -> None:
        with self._wakeup_lock:
            selector, self._selector = self._selector, None
            if selector is not None:
                for key in tuple(selector.get_map().values()):
                    os.close(key.fd)
                os.close(self._wakeup_w)
                selector.close()

    def _start(self) -> None:
        """Start the thread if there is none. Raises OSError; the next call tries again."""
        if self._selector is None:
            self._open_selector()
        if self._thread is None:
            thread = threading.Thread(target=self._serve, name=OUTPUT_THREAD_NAME, daemon=True)
            try:
                thread.start()
            except RuntimeError as error:  # no thread
                raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN)) from error
            self._thread = thread

    def _open_selector(self) -> None:
        selector = selectors.DefaultSelector()
        try:
            wakeup_r, self._wakeup_w = os.pipe()
        except OSError:
            selector.close()
            raise

        os.set_blocking(wakeup_r, False)
        os.set_blocking(self._wakeup_w, False)
        selector.register(wakeup_r, selectors.EVENT_READ, None)
        self._selector = selector

    def _wake_up(self) -> None:
        # Locked: a sink that hung may come back after the close, when the number is that of another file.
        with self._wakeup_lock, contextlib.suppress(BlockingIOError):  # full: it wakes up already
            if self._selector is not None:
                os.write(self._wakeup_w, b"!")

    # -- on the thread ------------------------------------------------------------------------

    def _serve(self) -> None:
        assert self._selector is not None
        self._run_commands()
        while not self.closed:
            for writer in self._busy:
                writer.start()
            if self._busy:
                self._watch()
            if self._held:
                self._resume()
            timeout = self._next_wakeup()
            for _ in range(ROUNDS):
                events = self._selector.select(timeout)
                for key, _ in events:
                    self._serve_one(key)
                if not events:
                    break
                timeout = 0
            if self._flush_at:
                self._flush()

    def _serve_one(self, key: selectors.SelectorKey) -> None:
        if key.data is None:
            with contextlib.suppress(BlockingIOError):
                os.read(key.fd, 4096)
            self._run_commands()
        else:
            self._read_or_hold(key.data)

    def _run_commands(self) -> None:
        while self._commands:
            self._commands.popleft()()

    def _register(self, pipe: Pipe) -> None:
        if self._selector is not None:
            self._selector.register(pipe.fd, selectors.EVENT_READ, pipe)

    def _read_or_hold(self, pipe: Pipe) -> None:
        if not pipe.open:  # ended by a command in this turn
            return
        if self._read(pipe):
            self._end(pipe)
        elif pipe.is_held_up():
            self._hold(pipe)

    def _read(self, pipe: Pipe) -> bool:
        """Read what is there, within a bound; True at the end of the stream."""
        for size in READ_SIZES:
            try:
                data = os.read(pipe.fd, size)
            except BlockingIOError:
                return False
            if not data:
                return True
            pipe.take(pipe.mask.feed(data))
            self._busy.update(pipe.writers)
            if pipe.mask.pending:
                self._flush_at[pipe] = time.monotonic() + FLUSH_DELAY
            elif self._flush_at:
                self._flush_at.pop(pipe, None)
            if len(data) < size:
                return False

        return False

    def _end(self, pipe: Pipe) -> None:
        self._flush_at.pop(pipe, None)
        self._hold(pipe)  # its end is reported when its sinks have everything
        pipe.close()
        self._busy.update(pipe.writers)

    def _hold(self, pipe: Pipe) -> None:
        self._held.add(pipe)
        if self._selector is not None:
            with contextlib.suppress(KeyError):  # held already, or never registered for want of a descriptor
                self._selector.unregister(pipe.fd)

    def _resume(self) -> None:
        """Read on where the sinks have caught up, or hang."""
        for pipe in [one for one in self._held if not one.is_held_up()]:
            self._held.discard(pipe)
            if pipe.open:
                self._register(pipe)
            else:
                pipe.on_end()

    def _next_wakeup(self) -> float | None:
        """The seconds until something is to be flushed, or to look at busy sinks again."""
        if not self._flush_at:
            return WATCH_PAUSE if self._busy else None
        return max(0.0, min(self._flush_at.values()) - time.monotonic())

    def _watch(self) -> None:
        """Look now and then whether a sink hangs."""
        now = time.monotonic()
        if now >= self._watch_at:
            self._watch_at = now + WATCH_PAUSE
            self._busy = {writer for writer in self._busy if writer.busy}
            for writer in self._busy:
                writer.watch(now)

    def _flush(self) -> None:
        now = time.monotonic()
        for pipe in [one for one, when in self._flush_at.items() if when <= now]:
            del self._flush_at[pipe]
            pipe.take(pipe.mask.flush())
            self._busy.update(pipe.writers)
