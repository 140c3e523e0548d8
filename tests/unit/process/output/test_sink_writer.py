"""Sinks that fail or hang: their output is counted and said, everybody else's goes on."""

from __future__ import annotations

import os
import select
import sys
import threading
import time
from pathlib import Path

import pytest
from hostler.model.values import StreamName
from hostler.process.output.capture import Capture, OutputReader
from hostler.process.output.output_count import OutputCount
from hostler.process.output.reader_lease import ReaderLease
from hostler.process.output.sink_writer import MOST_BYTES_WAITING, SinkWriter
from hostler.secrets.masking import Masker
from output_capture import (
    DEADLINE,
    MemorySink,
    Spawn,
    Troubles,
    open_capture,
    open_fds,
    output_threads,
    reader,
    spawned,
    two_fifos,
    until,
)

__all__ = ["reader", "spawned"]


MARK = b"[hostler: "


class Fifo:
    """A sink that writes to a named pipe: it hangs when nobody reads."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
        self._fd = os.open(path, os.O_WRONLY)
        os.set_blocking(self._reader, True)
        self.closed = threading.Event()

    def write(self, stream: StreamName, data: bytes) -> None:
        assert stream in {"stdout", "stderr"}
        while data:
            data = data[os.write(self._fd, data) :]

    def close(self) -> None:
        os.close(self._fd)
        self.closed.set()

    def read_all(self) -> bytes:
        """Let the sink go on, to its end."""
        with os.fdopen(self._reader, "rb") as file:
            return file.read()


class Gate(MemorySink):
    """A sink that hangs in every write until it is let through."""

    def __init__(self) -> None:
        super().__init__()
        self.entered = threading.Event()
        self.open = threading.Event()

    def write(self, stream: StreamName, data: bytes) -> None:
        self.entered.set()
        self.open.wait(DEADLINE)
        super().write(stream, data)


class Failing(MemorySink):
    """A sink that raises while `error` is set."""

    error: Exception | None = None
    error_on_close: Exception | None = None

    def write(self, stream: StreamName, data: bytes) -> None:
        if self.error is not None:
            raise self.error
        super().write(stream, data)

    def close(self) -> None:
        super().close()
        if self.error_on_close is not None:
            raise self.error_on_close


def flood(lines: int) -> list[str]:
    """A child that writes numbered lines of 100 bytes."""
    program = (
        "import os\nfor n in range(0, {0}, 500):\n"
        " data = b''.join(b'%011d %s\\n' % (m, b'x' * 87) for m in range(n, n + 500))\n"
        " while data: data = data[os.write(1, data):]"
    )
    return [sys.executable, "-I", "-S", "-c", program.format(lines)]


@pytest.mark.parametrize(
    ("error", "reported"),
    [
        (OSError(28, "No space left on device"), "Failing failed: [Errno 28] No space left on device"),
        (ValueError("a bug"), "Failing failed: ValueError: a bug"),
    ],
)
async def test_a_sink_that_fails_is_reported_once_and_again_when_it_works(
    reader: OutputReader, spawned: Spawn, tmp_path: Path, error: Exception, reported: str
) -> None:
    sink, other, troubles = Failing(), MemorySink(), Troubles()
    sink.error = error
    capture = open_capture(reader, sink, other, reported=troubles)
    first, second = two_fifos(tmp_path)
    spawned(capture, f"echo one; read x <{first}; echo two; read x <{second}; echo three")

    await until(lambda: troubles)
    first.write_text("\n")
    await until(lambda: other.text() == b"one\ntwo\n")
    sink.error = None
    second.write_text("\n")

    assert await capture.drained(DEADLINE)
    await until(lambda: len(troubles) == 2)
    assert troubles.topics == ["sink_failed", "sink_recovered"]
    assert troubles[0][1].startswith(reported)
    assert troubles[1][2] == {"sink": "Failing", "bytes": 8, "lines": 2}
    assert sink.text() == b"three\n"
    assert other.text() == b"one\ntwo\nthree\n"
    await capture.close()


async def test_what_a_sink_lost_to_its_end_is_reported_at_the_close(
    reader: OutputReader, spawned: Spawn
) -> None:
    sink, troubles = Failing(), Troubles()
    sink.error = OSError("gone")
    capture = open_capture(reader, sink, reported=troubles)
    spawned(capture, "echo lost")
    assert await capture.drained(DEADLINE)

    await capture.close()

    assert troubles.topics == ["sink_failed", "output_dropped"]
    assert troubles[1][2] == {"sink": "Failing", "bytes": 5, "lines": 1}


async def test_a_sink_that_fails_to_close_is_reported_and_harms_nobody(reader: OutputReader) -> None:
    sink, other, troubles = Failing(), MemorySink(), Troubles()
    sink.error_on_close = OSError("broken")
    capture = open_capture(reader, sink, other, reported=troubles)

    await capture.close()

    assert troubles.topics == ["sink_failed"]
    assert "failed to close: broken" in troubles[0][1]
    assert other.closed == 1


async def test_a_secret_in_the_error_of_a_sink_is_masked(reader: OutputReader, spawned: Spawn) -> None:
    sink, troubles = Failing(), Troubles()
    sink.error = ValueError("bad key sk-0123456789")
    capture = open_capture(reader, sink, reported=troubles, masker=Masker(["sk-0123456789"]))
    spawned(capture, "echo hello")

    await until(lambda: troubles)
    assert "sk-0123456789" not in troubles[0][1]
    await capture.close()


async def test_a_sink_that_hangs_is_passed_by_and_its_losses_are_whole_lines(
    reader: OutputReader, spawned: Spawn, tmp_path: Path
) -> None:
    stuck, beside, other, troubles = Fifo(tmp_path / "stuck"), MemorySink(), MemorySink(), Troubles()
    hanging = open_capture(reader, stuck, beside, reported=troubles)
    healthy = open_capture(reader, other)
    lines = 200_000

    process = spawned(hanging, *flood(lines))
    start = time.monotonic()
    await until(lambda: len(output_threads()) == 2)
    spawned(healthy, "echo hello")
    assert await healthy.drained(DEADLINE)
    assert other.text() == b"hello\n"
    assert await hanging.drained(DEADLINE)
    process.wait(DEADLINE)
    assert time.monotonic() - start < 5

    read: list[bytes] = []
    emptying = threading.Thread(target=lambda: read.append(stuck.read_all()))
    emptying.start()
    await hanging.close()
    emptying.join(DEADLINE)

    assert stuck.closed.is_set()
    assert troubles.topics == ["sink_failed", "output_dropped", "sink_recovered"]
    size = int(str(troubles[-1][2]["bytes"]))
    *whole, mark, empty = read[0].split(b"\n")
    assert empty == b""
    assert mark == MARK + b"%d bytes dropped]" % size
    assert [int(line[:11]) for line in whole] == list(range(len(whole)))
    assert {len(line) for line in whole} == {99}
    assert len(whole) * 100 + size == lines * 100
    assert beside.text().count(b"\n") == lines
    assert [int(line[:11]) for line in beside.text().split()[::2]] == list(range(lines))


async def test_a_sink_that_hangs_for_ever_does_not_hold_up_the_close(spawned: Spawn, tmp_path: Path) -> None:
    reader, stuck = OutputReader(), Fifo(tmp_path / "stuck")
    capture = open_capture(reader, stuck)
    spawned(capture, *flood(3000), "")
    assert await capture.drained(DEADLINE)

    start = time.monotonic()
    await capture.close()
    assert 2.5 < time.monotonic() - start < 4
    reader.close()
    assert time.monotonic() - start < 5

    stuck.read_all()
    await until(lambda: stuck.closed.is_set() and not output_threads())


async def test_closing_the_reader_while_a_sink_hangs_takes_bounded_time_and_closes_the_rest(
    spawned: Spawn, tmp_path: Path
) -> None:
    before = open_fds()
    reader, stuck, other = OutputReader(), Fifo(tmp_path / "stuck"), MemorySink()
    hanging = open_capture(reader, stuck)
    healthy = open_capture(reader, other)
    spawned(hanging, *flood(3000))
    spawned(healthy, "echo hello; exec sleep 60")
    await until(lambda: len(output_threads()) == 2)

    start = time.monotonic()
    reader.close()

    assert time.monotonic() - start < 3
    assert other.closed == 1
    stuck.read_all()
    await until(lambda: stuck.closed.is_set() and not output_threads())
    assert open_fds() == before
    await healthy.close()


async def test_a_sink_that_hangs_while_its_capture_is_closed_is_left_to_another_thread(
    reader: OutputReader, spawned: Spawn, tmp_path: Path
) -> None:
    brake, gate, beside = Gate(), Gate(), MemorySink()
    braked, hanging = open_capture(reader, brake), open_capture(reader, gate, beside)
    go = tmp_path / "go"
    os.mkfifo(go)
    process = spawned(hanging, f"read x <{go}; echo late; sleep 60")
    spawned(braked, "echo hello")
    assert brake.entered.wait(DEADLINE)

    hanging.retire()  # waits behind the brake, before the output
    go.write_text("\n")
    await until(lambda: readable(hanging))
    brake.open.set()

    assert gate.entered.wait(DEADLINE)
    assert await hanging.drained(DEADLINE)
    assert beside.text() == b"late\n"
    gate.open.set()
    await hanging.close()
    assert gate.text() == b"late\n"
    assert process.poll() is None
    await braked.close()


async def test_a_sink_is_closed_as_soon_as_the_last_stream_has_ended(
    reader: OutputReader, spawned: Spawn
) -> None:
    sink = MemorySink()
    capture = open_capture(reader, sink)
    process = spawned(capture, "echo out; exec >&-; exec sleep 60")
    await until(lambda: not capture._pipes["stdout"].open)
    too_early = sink.closed
    process.kill()
    await until(lambda: sink.closed == 1)
    assert sink.text() == b"out\n"
    await capture.close()
    assert (too_early, sink.closed) == (0, 1)


def readable(capture: Capture) -> bool:
    return bool(select.select([capture._pipes["stdout"].fd], [], [], 0)[0])


async def test_a_sink_that_hangs_on_what_was_held_back_is_passed_by(
    reader: OutputReader, spawned: Spawn
) -> None:
    gate, other = Gate(), MemorySink()
    hanging = open_capture(reader, gate, masker=Masker(["sk-0123456789"]))
    healthy = open_capture(reader, other)
    spawned(hanging, "printf sk-; sleep 60")
    assert gate.entered.wait(DEADLINE)

    spawned(healthy, "echo hello")

    assert await healthy.drained(DEADLINE)
    assert other.text() == b"hello\n"
    gate.open.set()
    await until(lambda: gate.text() == b"sk-")
    await hanging.close()
    await healthy.close()


async def test_what_comes_before_a_silence_reaches_the_sinks_behind_one_that_hangs(
    reader: OutputReader, spawned: Spawn
) -> None:
    gate, beside = Gate(), MemorySink()
    capture = open_capture(reader, gate, beside)
    spawned(capture, "echo began; exec sleep 60")
    await until(lambda: beside.text() == b"began\n")
    assert not gate.text()
    gate.open.set()
    await capture.close()


async def test_the_sinks_behind_one_that_hangs_in_its_close_get_their_last_output_and_are_closed(
    reader: OutputReader, spawned: Spawn
) -> None:
    class ClosesLate(MemorySink):
        may_close = threading.Event()

        def close(self) -> None:
            self.may_close.wait(DEADLINE)
            super().close()

    late, beside = ClosesLate(), MemorySink()
    capture = open_capture(reader, late, beside, masker=Masker(["sk-0123456789"]))
    spawned(capture, "printf sk-")
    await until(lambda: beside.closed == 1)
    assert (beside.text(), late.closed) == (b"sk-", 0)
    late.may_close.set()
    await capture.close()
    assert late.closed == 1


async def test_without_a_thread_to_spare_output_goes_on_unwatched(
    reader: OutputReader, spawned: Spawn, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = MemorySink(), MemorySink()
    await open_capture(reader).close()
    capture = open_capture(reader, first)
    await until(output_threads)

    def refuse(_: object) -> None:  # root cannot run out of threads
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)
    spawned(capture, "echo one")
    assert await capture.drained(DEADLINE)
    assert len(output_threads()) == 1
    monkeypatch.undo()
    watched = open_capture(reader, second)
    spawned(watched, "echo two")
    assert await watched.drained(DEADLINE)
    assert len(output_threads()) == 2
    assert first.text() + second.text() == b"one\ntwo\n"
    await capture.close()
    await watched.close()


def test_a_watcher_that_wants_to_end_stays_when_a_call_has_begun_meanwhile() -> None:
    lease = ReaderLease(lambda _: None)
    assert lease.start_watching()
    lease.begin(full_writer(MemorySink()))

    assert not lease.stop_watching()
    assert lease.watched
    lease.end()
    assert lease.stop_watching()
    assert not lease.watched


async def test_a_slow_sink_holds_the_child_back_and_loses_nothing(
    reader: OutputReader, spawned: Spawn
) -> None:
    class Slow(MemorySink):
        def write(self, stream: StreamName, data: bytes) -> None:
            time.sleep(0.02)
            super().write(stream, data)

    sink, troubles = Slow(), Troubles()
    capture = open_capture(reader, sink, reported=troubles)

    spawned(capture, *flood(100_000))

    assert await capture.drained(DEADLINE)
    assert sink.text().count(b"\n") == 100_000
    assert not troubles
    await capture.close()


class Unwatched:
    def begin(self, writer: SinkWriter) -> None:
        pass

    def end(self) -> None:
        pass


def full_writer(sink: MemorySink) -> SinkWriter:
    """An writer whose queue has room for 10 bytes."""
    writer = SinkWriter(sink, lambda *_: None, lambda: None, OutputCount())
    writer.put("stderr", b"y" * (MOST_BYTES_WAITING - 11) + b"\n")
    return writer


def test_a_line_that_was_begun_is_finished_before_a_gap() -> None:
    sink = MemorySink()
    writer = full_writer(sink)

    for piece in (b"beg", b"in\nlost", b" still lost\nand lost\n", b"lost too"):
        writer.put("stdout", piece if piece == b"beg" else piece + b"." * 20)

    writer.put("stdout", b"beg")
    writer.drain(Unwatched())
    writer.put("stdout", b"never seen\nseen\n")
    writer.drain(Unwatched())

    text = sink.text()
    assert text.startswith(b"begin\n" + MARK)
    assert text.endswith(b"dropped]\nseen\n")


def test_a_gap_that_ends_with_a_line_loses_no_more() -> None:
    sink = MemorySink()
    writer = full_writer(sink)

    writer.put("stdout", b"lost line, whole\n")
    writer.drain(Unwatched())
    writer.put("stderr", b"other\n")
    writer.put("stdout", b"next\n")
    writer.drain(Unwatched())

    assert sink.text() == MARK + b"17 bytes dropped]\nnext\n"


def test_a_gap_at_the_end_is_marked_before_the_sink_is_closed() -> None:
    sink = MemorySink()
    writer = full_writer(sink)

    writer.put("stdout", b"x" * 20)
    writer.end()
    writer.end()
    writer.put("stdout", b"late")
    writer.drain(Unwatched())

    assert sink.text() == MARK + b"20 bytes dropped]\n"
    assert sink.closed == 1


def test_a_line_that_cannot_be_finished_is_ended_before_the_mark() -> None:
    sink = MemorySink()
    writer = full_writer(sink)

    writer.put("stdout", b"begin")
    writer.put("stdout", b"no line end here")
    writer.drain(Unwatched())
    writer.put("stdout", b"rest\nnext\n")
    writer.drain(Unwatched())

    assert sink.text() == b"begin\n" + MARK + b"21 bytes dropped]\nnext\n"


def test_a_sink_that_is_too_slow_has_few_large_gaps_and_not_one_after_the_other() -> None:
    """While it writes one piece its child prints two."""
    piece = b"x" * 65535 + b"\n"
    left = 600

    class Slow(MemorySink):
        def write(self, stream: StreamName, data: bytes) -> None:
            nonlocal left
            super().write(stream, data)
            for _ in range(min(left, 2)):
                left -= 1
                writer.put("stdout", piece)

    sink = Slow()
    writer = SinkWriter(sink, lambda *_: None, lambda: None, OutputCount())
    writer.put("stdout", piece)
    writer.drain(Unwatched())
    gaps = sink.text().count(MARK)
    assert 1 <= gaps <= 600 * len(piece) / (MOST_BYTES_WAITING / 2)
