"""Writing to one sink behind a bounded queue: a sink that fails or hangs loses its own output only."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from queue import Empty, SimpleQueue
from typing import TypeAlias

from hostler.model.launch import Sink
from hostler.model.values import StreamName
from hostler.process.tree.run_mark import OUTPUT_THREAD_NAME

SINK_TIMEOUT = 1.0  # a call of a sink that takes longer counts as hanging: its child is held back no longer
MOST_BYTES_WAITING = 4 * 1024 * 1024
_LINGER = 0.05  # a thread waits for more, so that one writes a burst, and not one each piece of it

OnTrouble: TypeAlias = Callable[[str, str, Mapping[str, object]], None]


@dataclass(slots=True)
class _Gap:
    """Output of one stream that did not fit: how much, and whether it ended in the middle of a line."""

    size: int = 0
    in_line: bool = False

    def widen(self, data: bytes) -> None:
        """Add output that did not fit either."""
        self.size += len(data)
        self.in_line = data[-1] != 10


class SinkWriter:
    """A sink, its queue, and a thread while there is something to write.

    `put`, `end`, `start` and `watch` belong to the thread that reads. `on_caught_up` is called, on the
    writing thread, whenever nothing waits any more.
    """

    def __init__(
        self,
        sink: Sink,
        on_trouble: OnTrouble,
        on_closed: Callable[[], None],
        on_caught_up: Callable[[], None] = lambda: None,
    ) -> None:
        self._sink = sink
        self._on_trouble = on_trouble
        self._on_closed = on_closed
        self._on_caught_up = on_caught_up
        self._name = str(getattr(sink, "name", type(sink).__name__))
        self._pieces: list[tuple[StreamName, bytes] | None] = []  # not handed over yet; None closes the sink
        self._queue: SimpleQueue[list[tuple[StreamName, bytes] | None]] = SimpleQueue()
        self._bytes_in = 0  # each is counted by one thread alone: no lock
        self._bytes_out = 0
        self._in_line: dict[StreamName, bool] = {}
        self._gaps: dict[StreamName, _Gap] = {}
        self._ended = False
        self.busy = False
        self.hangs = False
        self._call_began: float | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        self._reported: set[str] = set()
        self._lost_bytes = 0
        self._lost_lines = 0

    @property
    def backlog(self) -> int:
        """How many bytes wait to be written."""
        return self._bytes_in - self._bytes_out

    def put(self, stream: StreamName, data: bytes) -> None:
        """Queue one piece, or what fits of it in whole lines; nothing after the end."""
        if self._ended:
            return
        if self._gaps or self.backlog + len(data) > MOST_BYTES_WAITING:
            data = self._admit(stream, data)
        if data:
            self._in_line[stream] = data[-1] != 10  # a line end
            self._enqueue(stream, data)

    def end(self) -> None:
        """Queue the closing of the sink, once."""
        if self._ended:
            return
        self._ended = True
        for stream in tuple(self._gaps):
            self._enqueue(stream, self._gap_marker(stream))
        self._pieces.append(None)

    def _enqueue(self, stream: StreamName, data: bytes) -> None:
        self._bytes_in += len(data)
        self._pieces.append((stream, data))

    def start(self) -> None:
        """Have a thread write what is queued; where none can be had, write it here."""
        self._hand_over()
        with self._lock:
            if self.busy or self._queue.empty():
                return
            self.busy = True
        thread = threading.Thread(target=self._work, args=(_LINGER,), name=OUTPUT_THREAD_NAME, daemon=True)
        try:
            thread.start()
            self._thread = thread
        except RuntimeError:
            self._work(0)

    def drain(self) -> None:
        """Write what is queued on this thread."""
        while self._pieces:
            self._hand_over()
            self._work(0)

    def _hand_over(self) -> None:
        if self._pieces:
            self._queue.put(self._pieces)
            self._pieces = []

    def join(self, timeout: float) -> None:
        """Wait for its thread to end."""
        if self._thread is not None:
            self._thread.join(max(0.0, timeout))

    def watch(self, now: float) -> None:
        """Report a call that hangs, once."""
        began = self._call_began
        if began is not None and now - began >= SINK_TIMEOUT:
            self.hangs = True  # until it has caught up
            text = f"{self._name} has been stuck for {SINK_TIMEOUT:.0f} s; its output waits"
            self._report_once("sink_failed", text)

    def _work(self, linger: float) -> None:
        """Write what was handed over, and what is until nothing has come for `linger` seconds."""
        while True:
            try:
                pieces = self._queue.get(linger > 0, linger)
            except Empty:
                if self._is_done():
                    return
                continue

            succeeded = False
            for piece in pieces:
                self._call_began = time.monotonic()
                if piece is None:
                    self._caught_up(succeeded)
                    self._close()
                    self.busy = False
                    return
                succeeded = self._write(*piece)
                self._bytes_out += len(piece[1])
                self._call_began = None
            if self._queue.empty():
                self._caught_up(succeeded)

    def _is_done(self) -> bool:
        with self._lock:  # else what is queued just now would wait for the next piece
            self.busy = not self._queue.empty()
            return not self.busy

    def _write(self, stream: StreamName, data: bytes) -> bool:
        """Whether the sink has taken it."""
        try:
            self._sink.write(stream, data)
        except BaseException as error:  # noqa: BLE001 - whatever a sink raises, its thread goes on
            text = f"{self._name} failed: {_describe(error)}; its output is lost"
            self._count_lost(data, "sink_failed", text)
            return False
        return True

    def _close(self) -> None:
        try:
            self._sink.close()
        except BaseException as error:  # noqa: BLE001 - as above
            self._report_once("sink_failed", f"{self._name} failed to close: {_describe(error)}")
        if self._lost_bytes:
            self._report_losses("output_dropped", f"{self._name} is closed")
        self._on_closed()

    def _admit(self, stream: StreamName, data: bytes) -> bytes:
        gap = self._gaps.get(stream)
        # A gap is closed when half of the queue is free: few large gaps instead of one after the other.
        most = MOST_BYTES_WAITING if gap is None else MOST_BYTES_WAITING // 2
        full = self.backlog + len(data) > most

        if gap is None:
            return self._open_gap(stream, data) if full else data
        if full:
            self._widen(gap, data)
            return b""

        return self._close_gap(stream, gap, data)

    def _open_gap(self, stream: StreamName, data: bytes) -> bytes:
        """Take the end of the line that was begun; the rest is the beginning of a gap."""
        cut = data.find(b"\n") + 1 if self._in_line.get(stream) else 0
        self._gaps[stream] = gap = _Gap()
        self._widen(gap, data[cut:])
        return data[:cut]

    def _widen(self, gap: _Gap, data: bytes) -> None:
        if data:
            gap.widen(data)
            self._count_lost(
                data, "output_dropped", f"{self._name} is stuck and its queue is full: output is dropped"
            )

    def _close_gap(self, stream: StreamName, gap: _Gap, data: bytes) -> bytes:
        """Go on at the beginning of a line, after a marker line with the number of bytes dropped."""
        cut = 0
        if gap.in_line:
            cut = data.find(b"\n") + 1 or len(data)
            self._widen(gap, data[:cut])
        return b"" if gap.in_line else self._gap_marker(stream) + data[cut:]

    def _gap_marker(self, stream: StreamName) -> bytes:
        start = b"\n" if self._in_line.get(stream) else b""
        return b"%s[hostler: %d bytes dropped]\n" % (start, self._gaps.pop(stream).size)

    def _count_lost(self, data: bytes, topic: str, text: str) -> None:
        with self._lock:
            self._lost_bytes += len(data)
            self._lost_lines += data.count(b"\n")
        self._report_once(topic, text)

    def _report_once(self, topic: str, text: str) -> None:
        with self._lock:
            known = topic in self._reported
            self._reported.add(topic)
        if not known:
            self._on_trouble(topic, text, {"sink": self._name})

    def _caught_up(self, succeeded: bool) -> None:
        self.hangs = False
        if succeeded and self._reported:
            self._report_losses("sink_recovered", f"{self._name} works again")
        self._on_caught_up()

    def _report_losses(self, topic: str, text: str) -> None:
        """Report how much was lost, and begin to count anew."""
        with self._lock:
            size, lines = self._lost_bytes, self._lost_lines
            self._lost_bytes = self._lost_lines = 0
            self._reported.clear()
        details = {"sink": self._name, "bytes": size, "lines": lines}
        self._on_trouble(topic, f"{text}; lost: {size} bytes, {lines} lines", details)


def _describe(error: BaseException) -> str:
    return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
