"""Writing to one sink behind a bounded queue: a sink that fails or hangs loses its own output only."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol, TypeAlias

from hostler.model.dataclass import dataclass
from hostler.model.launch import Sink
from hostler.model.values import StreamName
from hostler.process.output.output_count import OutputCount

MOST_BYTES_WAITING = 4 * 1024 * 1024

OnTrouble: TypeAlias = Callable[[str, str, Mapping[str, object]], None]


class CallObserver(Protocol):
    """Notices when a call that may hang begins and ends."""

    def begin(self, writer: SinkWriter) -> None:
        """A sink is being called from now on."""
        ...

    def end(self) -> None:
        """The call has returned."""
        ...


@dataclass(slots=True, eq=False, repr=False)
class _Gap:
    """Output of one stream that did not fit: how much, and whether it ended in the middle of a line."""

    size: int = 0
    in_line: bool = False

    def widen(self, data: bytes) -> None:
        """Add output that did not fit either."""
        self.size += len(data)
        self.in_line = data[-1] != 10


class SinkWriter:
    """A sink and its queue. `put` and the ends belong to the thread that serves the pipes, `drain` to any."""

    def __init__(
        self, sink: Sink, on_trouble: OnTrouble, on_closed: Callable[[], None], count: OutputCount
    ) -> None:
        self._sink = sink
        self._on_trouble = on_trouble
        self._on_closed = on_closed
        self._count = count
        self._name = str(getattr(sink, "name", type(sink).__name__))
        self._queue: deque[tuple[StreamName, bytes] | None] | None = None  # an empty one takes 760 bytes
        self._bytes_in = 0  # bytes put in, counted by the one thread that puts
        self._bytes_out = 0  # bytes taken out, counted by the one thread that holds the lock
        self._lock = threading.Lock()
        self._in_line: dict[StreamName, bool] = {}
        self._gaps: dict[StreamName, _Gap] = {}
        self._streams: set[StreamName] = set()
        self._ended = False
        self._stats_lock = threading.Lock()
        self._reported: tuple[str, ...] = ()
        self._lost_bytes = 0
        self._lost_lines = 0

    def put(self, stream: StreamName, data: bytes) -> None:
        """Queue one piece, or what fits of it in whole lines; nothing after the end."""
        if self._ended:
            return
        if self._gaps or self._bytes_in - self._bytes_out + len(data) > MOST_BYTES_WAITING:
            data = self._admit(stream, data)
        if data:
            self._bytes_in += len(data)
            self._in_line[stream] = data[-1] != 10  # a line end
            self._append((stream, data))

    @property
    def ended(self) -> bool:
        """Whether nothing more is taken and nothing is queued: the sink is closed, or is being closed."""
        return self._ended and not self._queue

    def expect(self, stream: StreamName) -> None:
        """Expect output of this stream, before any comes."""
        self._streams.add(stream)

    def end_stream(self, stream: StreamName) -> None:
        """Take it that nothing more comes of this stream; the end of the last one is the end."""
        self._streams.discard(stream)
        if not self._streams:
            self.end()

    def end(self) -> None:
        """Queue the closing of the sink, once."""
        if self._ended:
            return
        self._ended = True
        for stream in tuple(self._gaps):
            self._append((stream, self._gap_marker(stream)))
        self._append(None)

    def _append(self, piece: tuple[StreamName, bytes] | None) -> None:
        if self._queue is None:
            self._queue = deque()
        self._queue.append(piece)

    def drain(self, observer: CallObserver) -> None:
        """Write what is queued, unless another thread is at it."""
        while self._queue and self._lock.acquire(blocking=False):
            try:
                self._write_all(observer)
            finally:
                self._lock.release()

    def report_hanging(self, seconds: float) -> None:
        """Report that the sink hangs in a call: its queue fills from now on."""
        self._report_once("sink_failed", f"{self._name} has been stuck for {seconds:.0f} s; its output waits")

    def _write_all(self, observer: CallObserver) -> None:
        succeeded = False

        while self._queue:
            piece = self._queue.popleft()
            observer.begin(self)
            if piece is None:
                self._report_recovery(succeeded)
                self._close()
            else:
                succeeded = self._write(*piece)
                self._bytes_out += len(piece[1])
            observer.end()

        self._report_recovery(succeeded)

    def _write(self, stream: StreamName, data: bytes) -> bool:
        try:
            self._sink.write(stream, data)
        except BaseException as error:  # noqa: BLE001 - whatever a sink raises, reading goes on
            self._count_lost(
                data, "sink_failed", f"{self._name} failed: {_describe(error)}; its output is lost"
            )
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
        most = MOST_BYTES_WAITING if gap is None else MOST_BYTES_WAITING // 2
        full = self._bytes_in - self._bytes_out + len(data) > most

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
        self._count.note_lost(len(data))
        with self._stats_lock:
            self._lost_bytes += len(data)
            self._lost_lines += data.count(b"\n")
        self._report_once(topic, text)

    def _report_once(self, topic: str, text: str) -> None:
        with self._stats_lock:
            known = topic in self._reported
            self._reported += () if known else (topic,)
        if not known:
            self._on_trouble(topic, text, {"sink": self._name})

    def _report_recovery(self, succeeded: bool) -> None:
        if succeeded and self._reported:
            self._report_losses("sink_recovered", f"{self._name} works again")

    def _report_losses(self, topic: str, text: str) -> None:
        """Report how much was lost, and begin to count anew."""
        with self._stats_lock:
            size, lines = self._lost_bytes, self._lost_lines
            self._lost_bytes = self._lost_lines = 0
            self._reported = ()
        details = {"sink": self._name, "bytes": size, "lines": lines}
        self._on_trouble(topic, f"{text}; lost: {size} bytes, {lines} lines", details)


def _describe(error: BaseException) -> str:
    return str(error) if isinstance(error, OSError) else f"{type(error).__name__}: {error}"
