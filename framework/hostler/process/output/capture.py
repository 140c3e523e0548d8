"""Capturing the output of all children of one supervisor: its way to sinks and followers, and its tail."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import anyio

from hostler.concurrency.flag import Flag
from hostler.model.launch import Sink
from hostler.model.values import StreamName
from hostler.process.output.lines import LineCutter, LineFeed, LinesCallback, Tail, call_on_loop
from hostler.process.output.output_count import OutputCount
from hostler.process.output.pipe import Pipe
from hostler.process.output.reader import ReaderThread
from hostler.process.output.reader_lease import SINK_TIMEOUT
from hostler.process.output.sink_writer import OnTrouble, SinkWriter
from hostler.secrets.masking import Masker

CLOSE_TIMEOUT = 3.0  # a sink that hangs must not hold up a restart


class OutputReader:
    """Reads the output of all children of one supervisor in one thread, which is started when it is needed.

    All methods are called on the event loop's thread, and so are all callbacks. A loop that is blocked
    holds nothing up.
    """

    def __init__(self) -> None:
        self._reader = ReaderThread()
        self._captures: set[Capture] = set()

    def open(
        self,
        *,
        generation: int,
        masker: Masker,
        sinks: Sequence[Sink],
        on_trouble: OnTrouble,
        streams: Sequence[StreamName] = ("stdout", "stderr"),
        count: OutputCount | None = None,
    ) -> Capture:
        """Make the pipes of one run and read them from now on.

        Raises OSError when there are no descriptors left, RuntimeError when the reader is closed.

        The sinks belong to the capture in any case. `on_trouble(topic, text, details)` is called for
        output_dropped, sink_failed and sink_recovered. `count` goes on with that of the runs before.
        """
        if self._reader.closed:
            raise RuntimeError("the output reader is closed")
        counts = OutputCount() if count is None else count
        capture = Capture(self._reader, generation, masker, sinks, on_trouble, self._captures.discard, counts)
        capture.open_pipes(streams)
        self._captures.add(capture)
        return capture

    def close(self) -> None:
        """End all captures and the thread; what hangs in a sink is left behind after 2 s."""
        for capture in tuple(self._captures):
            capture.retire()
        self._reader.close(2 * SINK_TIMEOUT)


class Capture:
    """The output of one run, from before its spawn until it is closed."""

    def __init__(
        self,
        reader: ReaderThread,
        generation: int,
        masker: Masker,
        sinks: Sequence[Sink],
        on_trouble: OnTrouble,
        on_closed: Callable[[Capture], None],
        count: OutputCount,
    ) -> None:
        self._reader = reader
        self._generation = generation
        self._loop = asyncio.get_running_loop()
        self._on_trouble = on_trouble
        self._masker = masker
        self._count = count
        self._feed = LineFeed(self._loop, partial(_report_dropped, on_trouble))
        self._writers: tuple[SinkWriter, ...] = tuple(
            SinkWriter(sink, self._report_trouble, lambda: call_on_loop(self._loop, self._sink_closed), count)
            for sink in sinks
        )
        self._pipes: dict[StreamName, Pipe] = {}
        self._tails: dict[StreamName, Tail] = {}
        self._write_fds: dict[StreamName, int] = {}
        self._open_sinks = len(sinks)
        self._ended = Flag()
        self._closed = Flag()
        self._retired = False
        self._on_closed = on_closed

    @property
    def dropped(self) -> int:
        """How many lines the followers missed because the loop was too slow."""
        return self._feed.dropped

    def open_pipes(self, streams: Sequence[StreamName]) -> None:
        """Make one pipe for each stream; OSError when there are no descriptors left."""
        try:
            self._make_pipes(streams)
        except OSError:
            self.close_write_fds()
            self.retire()
            raise

        if not streams:
            self._ended.set()

    def write_fd(self, stream: StreamName) -> int | None:
        """The descriptor for the child, or None where `stream` is not captured or was closed."""
        return self._write_fds.get(stream)

    def close_write_fds(self) -> None:
        """Close this process' copies, right after the spawn or its failure: without it there is no end."""
        while self._write_fds:
            os.close(self._write_fds.popitem()[1])

    def follow(self, callback: LinesCallback) -> Callable[[], None]:
        """Call `callback` with batches of complete lines from now on; the result ends it.

        A line is cut at 8 KiB. The unfinished last line comes at the end of the stream.
        """
        return self._feed.follow(callback)

    def tail(self, stream: StreamName, lines: int | None = None) -> str:
        """The last lines of a stream, redacted, within the last 64 KiB."""
        data = self._tails[stream].data() if stream in self._tails else b""
        if not data or lines is None:  # a restart asks twice, and many servers print nothing
            return data.decode(errors="replace")
        start = len(data)
        for _ in range(lines + 1):  # each of them ends at least one line: the others need not be decoded
            start = data.rfind(b"\n", 0, max(start, 0))
        text = data[start + 1 :].decode(errors="replace")
        return "".join(text.splitlines(keepends=True)[-lines:] if lines else [])

    async def drained(self, timeout: float, patience: float = 0.0) -> bool:
        """Wait until every stream has ended and its lines are delivered; False after `timeout` seconds.

        With `patience` nobody is left who could write: what is still in the pipes is taken, and lines that
        wait get so many seconds more. What is left then is reported.
        """
        if not self._is_drained():
            await self._wait_drained(timeout)
        if patience and not self._is_drained():
            # On a busy machine the reader may be late, and what is read when nobody follows is not counted.
            self._retire_pipes()
            await self._wait_drained(patience)
        if not self._is_drained():
            self._feed.discard()
            return False
        return True

    async def _wait_drained(self, seconds: float) -> None:
        with anyio.move_on_after(seconds):
            await self._ended.wait()
            await self._feed.idle.wait()

    def _is_drained(self) -> bool:
        return self._has_ended() and self._feed.idle.is_set()

    def _has_ended(self) -> bool:
        # Not only by word of the output thread: a restart would wait until the loop comes to that.
        return self._ended.is_set() or all(pipe.ended for pipe in self._pipes.values())

    async def close(self) -> None:
        """Take what is left, close the sinks and release all; at most 3 s, whoever hangs. Idempotent."""
        self.close_write_fds()
        self.retire()
        if not self._closed.is_set():
            with anyio.move_on_after(CLOSE_TIMEOUT):
                await self._closed.wait()
        self._mark_closed()

    def retire(self) -> None:
        """Begin to close: the pipes are read once more and ended, the sinks closed, on the output thread."""
        if self._retired:
            return

        self._retired = True

        self._retire_pipes()

        for writer in self._writers:
            if not writer.ended:  # as above
                self._reader.end(writer)

        self._check_closed()

    def _retire_pipes(self) -> None:
        for pipe in self._pipes.values():
            if pipe.open:  # else its thread need not be woken
                self._reader.retire(pipe)

    def _make_pipes(self, streams: Sequence[StreamName]) -> None:
        self._count.expect(streams)
        try:
            for stream in streams:
                self._open_pipe(stream)
        finally:
            self._reader.add(*self._pipes.values())  # at once: the thread is woken once

    def _open_pipe(self, stream: StreamName) -> None:
        ours, childs = os.pipe()
        os.set_blocking(ours, False)

        for writer in self._writers:
            writer.expect(stream)

        self._write_fds[stream] = childs
        self._tails[stream] = Tail()
        self._pipes[stream] = Pipe(
            fd=ours,
            stream=stream,
            mask=self._masker.stream(),
            cutter=LineCutter(stream, self._generation),
            feed=self._feed,
            count=self._count,
            writers=self._writers,
            tail=self._tails[stream],
            on_end=self._note_end,
        )

    def _note_end(self) -> None:
        """On the output thread: one of the pipes has ended."""
        if all(pipe.ended for pipe in tuple(self._pipes.values())):  # the loop is woken once for all
            call_on_loop(self._loop, self._all_ended)

    def _all_ended(self) -> None:
        self._ended.set()
        self._check_closed()

    def _sink_closed(self) -> None:
        self._open_sinks -= 1  # by word of the thread: what it had to report before that is out
        self._check_closed()

    def _check_closed(self) -> None:
        if self._retired and not self._open_sinks and self._has_ended():
            self._mark_closed()

    def _mark_closed(self) -> None:
        self._closed.set()
        self._on_closed(self)
        # They hold this capture: hundreds of ended runs would wait for the garbage collector.
        self._pipes.clear()
        self._writers = ()

    def _report_trouble(self, topic: str, text: str, details: Mapping[str, object]) -> None:
        call_on_loop(self._loop, self._on_trouble, topic, self._masker.text(text), details)


def _report_dropped(on_trouble: OnTrouble, lines: int) -> None:
    text = f"{lines} lines of output were not shown: the program was busy"
    on_trouble("output_dropped", text, {"lines": lines})
