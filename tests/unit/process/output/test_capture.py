"""Captured output: real children, pipes and sinks; sinks that fail or hang are in test_output_sinks.py."""

from __future__ import annotations

import asyncio
import fcntl
import os
import resource
import sys
import threading
import time
from itertools import pairwise
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from hostler.model.values import Line
from hostler.process.output.capture import OutputReader
from hostler.process.output.lines import MOST_LINES_WAITING, LineFeed
from hostler.process.output.pipe import SIZE
from hostler.process.output.reader import MUCH
from hostler.secrets.credentials import MASK
from hostler.secrets.masking import MaskedStream, Masker
from output_capture import (
    DEADLINE,
    MemorySink,
    Spawn,
    Troubles,
    is_open,
    open_capture,
    open_fds,
    output_threads,
    reader,
    spawned,
    two_fifos,
    until,
)

__all__ = ["reader", "spawned"]


SECRET = "sk-ant-0123456789"


async def test_both_streams_reach_sinks_tail_and_followers(reader: OutputReader, spawned: Spawn) -> None:
    sink = MemorySink()
    capture = open_capture(reader, sink)
    lines: list[Line] = []
    capture.follow(lines.extend)

    spawned(capture, "echo one; echo two; echo bad >&2; printf last")

    assert await capture.drained(DEADLINE)
    assert sink.text("stdout") == b"one\ntwo\nlast"
    assert sink.text("stderr") == b"bad\n"
    assert (
        capture.tail("stdout") == capture.tail("stdout", 3) == capture.tail("stdout", 4) == "one\ntwo\nlast"
    )
    assert capture.tail("stdout", 2) == "two\nlast"
    assert capture.tail("stderr") == "bad\n"
    assert [line for line in lines if line.stream == "stdout"] == [
        Line("stdout", "one", 1, 7),
        Line("stdout", "two", 2, 7),
        Line("stdout", "last", 3, 7),
    ]
    assert [line for line in lines if line.stream == "stderr"] == [Line("stderr", "bad", 1, 7)]
    await capture.close()
    assert sink.closed == 1


@pytest.mark.parametrize("anyio_backend", [("asyncio", {"use_uvloop": True})])
async def test_it_works_under_uvloop(reader: OutputReader, spawned: Spawn) -> None:
    assert type(asyncio.get_running_loop()).__module__.startswith("uvloop")
    capture = open_capture(reader, sink := MemorySink())
    lines: list[Line] = []
    capture.follow(lines.extend)

    spawned(capture, "echo hello")

    assert await capture.drained(DEADLINE)
    await capture.close()
    assert [line.text for line in lines] == ["hello"]
    assert sink.text() == b"hello\n"


async def test_a_secret_is_masked_for_everybody_even_in_pieces(reader: OutputReader, spawned: Spawn) -> None:
    capture = open_capture(reader, sink := MemorySink(), masker=Masker([SECRET]))
    lines: list[Line] = []
    capture.follow(lines.extend)

    spawned(capture, f"printf 'key {SECRET[:6]}'; sleep 0.01; echo '{SECRET[6:]} end'; echo {SECRET} >&2")

    assert await capture.drained(DEADLINE)
    assert sink.text() == f"key {MASK} end\n".encode()
    assert capture.tail("stdout") == f"key {MASK} end\n"
    assert capture.tail("stderr") == f"{MASK}\n"
    assert sorted(line.text for line in lines) == [MASK, f"key {MASK} end"]
    await capture.close()


async def test_what_may_begin_a_secret_is_given_out_after_a_moment_of_quiet(
    reader: OutputReader, spawned: Spawn
) -> None:
    capture = open_capture(reader, sink := MemorySink(), masker=Masker([SECRET]))

    spawned(capture, "printf 'prompt sk-'; sleep 60")

    await until(lambda: sink.text() == b"prompt sk-")
    await capture.close()


async def test_a_flood_is_not_held_up_by_a_blocked_loop(reader: OutputReader, spawned: Spawn) -> None:
    capture = open_capture(reader, sink := MemorySink())
    program = "import os\nfor n in range(400): os.write(1, b'x' * 65536)"

    process = spawned(capture, sys.executable, "-I", "-S", "-c", program)
    process.wait(DEADLINE)  # blocks the loop: only the thread can empty the pipe

    assert await capture.drained(DEADLINE)
    assert len(sink.text()) == 400 * 65536
    await capture.close()


def switches(thread: threading.Thread) -> list[str]:
    status = Path(f"/proc/self/task/{thread.native_id}/status").read_text()
    return [line for line in status.splitlines() if "ctxt_switches" in line]


async def test_idle_children_cost_one_thread_that_sleeps(reader: OutputReader, spawned: Spawn) -> None:
    captures = [open_capture(reader, MemorySink()) for _ in range(20)]
    for capture in captures:
        spawned(capture, "echo up; exec sleep 60")

    await until(lambda: all(capture.tail("stdout") == "up\n" for capture in captures))
    await until(lambda: len(output_threads()) == 1)
    (thread,) = output_threads()
    before: list[str] = []
    with anyio.fail_after(DEADLINE):  # it looks once more whether the sinks are done
        while before != (before := switches(thread)):  # noqa: ASYNC110 - nothing tells that a thread sleeps
            await anyio.sleep(0.5)

    for capture in captures:
        await capture.close()


async def test_no_thread_is_started_before_it_is_needed() -> None:
    before = open_fds()
    reader = OutputReader()

    assert not output_threads()
    reader.close()
    assert open_fds() == before


async def test_a_grandchild_that_holds_the_pipe_delays_the_end_but_not_the_close(
    reader: OutputReader, spawned: Spawn
) -> None:
    capture = open_capture(reader, sink := MemorySink())

    process = spawned(capture, "sleep 60 & echo started")
    process.wait(DEADLINE)

    assert not await capture.drained(0.2)
    start = time.monotonic()
    await capture.close()
    assert time.monotonic() - start < 1
    assert sink.text() == b"started\n"
    assert sink.closed == 1


async def test_close_takes_what_is_left_and_can_be_called_twice(reader: OutputReader, spawned: Spawn) -> None:
    capture = open_capture(reader, sink := MemorySink())
    lines: list[Line] = []
    capture.follow(lines.extend)
    process = spawned(capture, "head -c 200000 /dev/zero | tr '\\0' x")
    process.wait(DEADLINE)

    await capture.close()
    await capture.close()

    assert len(sink.text()) == 200000
    assert sink.closed == 1
    assert [len(line.text) for line in lines] == [8192]


async def test_nothing_is_left_open(spawned: Spawn) -> None:
    await anyio.lowlevel.checkpoint()
    before = open_fds()
    reader = OutputReader()
    capture = open_capture(reader, MemorySink())
    spawned(capture, "echo hello")
    assert await capture.drained(DEADLINE)
    await capture.close()

    reader.close()

    assert open_fds() == before
    assert not output_threads()


async def test_closing_the_reader_ends_captures_that_are_open(spawned: Spawn) -> None:
    before = open_fds()
    reader = OutputReader()
    capture = open_capture(reader, sink := MemorySink())
    spawned(capture, "echo hello; exec sleep 60")
    await until(lambda: sink.text() == b"hello\n")

    reader.close()

    assert sink.closed == 1
    assert open_fds() == before
    await capture.close()


async def test_a_closed_reader_opens_nothing() -> None:
    reader = OutputReader()
    reader.close()
    with pytest.raises(RuntimeError, match="closed"):
        open_capture(reader)


async def test_closed_captures_are_forgotten(reader: OutputReader) -> None:
    for _ in range(5):
        capture = open_capture(reader, MemorySink())
        await capture.close()
    assert not reader._captures


async def test_a_stream_that_is_not_captured_has_no_descriptor(reader: OutputReader) -> None:
    capture = reader.open(generation=1, masker=Masker(), sinks=[], on_trouble=Troubles(), streams=["stderr"])

    assert capture.write_fd("stdout") is None
    assert capture.write_fd("stderr") is not None
    assert capture.tail("stdout") == ""
    capture.close_write_fds()
    assert capture.write_fd("stderr") is None
    assert await capture.drained(DEADLINE)
    await capture.close()


async def test_without_any_stream_the_sinks_are_closed_all_the_same(reader: OutputReader) -> None:
    sink = MemorySink()
    capture = reader.open(generation=1, masker=Masker(), sinks=[sink], on_trouble=Troubles(), streams=[])

    assert await capture.drained(0)
    await capture.close()
    assert sink.closed == 1


async def test_without_descriptors_it_fails_and_leaves_nothing(reader: OutputReader) -> None:
    await open_capture(reader).close()  # the thread and its own descriptors exist
    sink = MemorySink()
    before = open_fds()
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    free = [number for number in range(1000) if not is_open(number)]
    resource.setrlimit(resource.RLIMIT_NOFILE, (free[2] + 1, limits[1]))  # three: one pipe, but not two

    try:
        with pytest.raises(OSError, match="Too many open files"):
            open_capture(reader, sink)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)

    await until(lambda: sink.closed)
    assert open_fds() == before


async def test_the_tail_is_the_last_64_kib(reader: OutputReader, spawned: Spawn) -> None:
    capture = open_capture(reader)
    program = "import os\nfor n in range(30000): os.write(1, b'%07d\\n' % n)\nos.write(2, b'y' * 300000)"

    spawned(capture, sys.executable, "-I", "-S", "-c", program)

    assert await capture.drained(DEADLINE)
    assert capture.tail("stdout") == "".join(f"{n:07}\n" for n in range(30000))[-65536:]
    assert capture.tail("stdout", 2) == "0029998\n0029999\n"
    assert capture.tail("stdout", 0) == ""
    assert capture.tail("stderr") == "y" * 65536
    await capture.close()


async def test_bytes_that_are_no_text_pass_through(reader: OutputReader, spawned: Spawn) -> None:
    capture = open_capture(reader, sink := MemorySink())
    lines: list[Line] = []
    capture.follow(lines.extend)

    spawned(capture, r"printf 'nul[\000] bad[\377\376] ansi[\033[31m]\r\n'")

    assert await capture.drained(DEADLINE)
    assert sink.text() == b"nul[\0] bad[\xff\xfe] ansi[\x1b[31m]\r\n"
    assert [line.text for line in lines] == ["nul[\0] bad[\ufffd\ufffd] ansi[\x1b[31m]"]
    await capture.close()


async def test_an_overlong_line_is_one_line_of_which_the_beginning_is_delivered(
    reader: OutputReader, spawned: Spawn
) -> None:
    capture = open_capture(reader)
    lines: list[Line] = []
    capture.follow(lines.extend)

    spawned(capture, "head -c 300000 /dev/zero | tr '\\0' x; echo; echo next")

    assert await capture.drained(DEADLINE)
    assert [(len(line.text), line.number) for line in lines] == [(8192, 1), (4, 2)]
    await capture.close()


async def test_a_follower_that_comes_in_the_middle_of_a_line_gets_the_whole_line(
    reader: OutputReader, spawned: Spawn, tmp_path: Path
) -> None:
    capture = open_capture(reader)
    first, second = two_fifos(tmp_path)
    spawned(
        capture,
        f"echo past; printf begin; read x <{first}; echo -end; printf rest; read x <{second}; echo -over",
    )
    await until(lambda: capture.tail("stdout") == "past\nbegin")
    lines: list[Line] = []

    unfollow = capture.follow(lines.extend)
    first.write_text("\n")
    await until(lambda: [line.text for line in lines] == ["begin-end"])
    unfollow()
    second.write_text("\n")

    assert await capture.drained(DEADLINE)
    assert len(lines) == 1
    await capture.close()


async def test_a_follower_that_fails_does_not_disturb_the_others(
    reader: OutputReader, spawned: Spawn
) -> None:
    faults: list[str] = []
    asyncio.get_running_loop().set_exception_handler(lambda _loop, context: faults.append(context["message"]))
    capture = open_capture(reader)
    lines: list[Line] = []

    def fail(_: list[Line]) -> None:
        raise RuntimeError("broken")

    capture.follow(fail)
    capture.follow(lines.extend)
    spawned(capture, "echo hello")

    assert await capture.drained(DEADLINE)
    assert [line.text for line in lines] == ["hello"]
    assert faults == ["a follower of output failed"]
    await capture.close()


async def test_a_loop_that_is_too_slow_loses_the_oldest_lines_and_is_reported(
    reader: OutputReader, spawned: Spawn
) -> None:
    reported = Troubles()
    capture = open_capture(reader, reported=reported)
    lines: list[Line] = []
    capture.follow(lines.extend)
    program = "import os\nfor n in range(1000): os.write(1, b'%06d\\n' % n * 200)"

    process = spawned(capture, sys.executable, "-I", "-S", "-c", program)
    process.wait(DEADLINE)

    assert await capture.drained(DEADLINE)
    assert capture.dropped > 0
    assert len(lines) + capture.dropped == 200_000
    assert sum(line.missed for line in lines) == capture.dropped
    assert [line.number - before.number - 1 for before, line in pairwise(lines)] == [
        line.missed for line in lines[1:]
    ]
    assert lines[-1] == Line("stdout", "000999", 200_000, 7)
    assert set(reported.topics) == {"output_dropped"}
    assert sum(int(str(details["lines"])) for _, _, details in reported) == capture.dropped
    await capture.close()


async def test_lines_that_a_follower_is_too_slow_for_at_the_end_are_reported(
    reader: OutputReader, spawned: Spawn
) -> None:
    reported = Troubles()
    capture = open_capture(reader, reported=reported)
    lines: list[Line] = []

    def slowly(some: list[Line]) -> None:
        time.sleep(0.02 * len(some))
        lines.extend(some)

    capture.follow(slowly)
    spawned(capture, "seq 1 1000")

    assert not await capture.drained(0.1, 0.1)
    assert capture.dropped > 0
    assert len(lines) + capture.dropped == 1000
    assert [text for _, text, _ in reported] == [
        f"{capture.dropped} lines of output were not shown: the program was busy"
    ]
    await capture.close()


async def test_lines_that_were_dropped_before_the_end_and_not_yet_reported_are_reported_at_the_end() -> None:
    """The loop is busy with one batch while the output thread drops others, and then all is over."""
    reported: list[int] = []
    feed = LineFeed(asyncio.get_running_loop(), reported.append)
    delivered: list[Line] = []
    feed.follow(delivered.extend)
    batch = [Line("stdout", "x", number, 7) for number in range(MOST_LINES_WAITING)]
    for _ in range(3):
        feed.offer(batch, 1)

    feed.discard()
    await feed.idle.wait()

    assert delivered == []
    assert sum(reported) == feed.dropped == 3 * MOST_LINES_WAITING


async def test_lines_that_the_reader_is_too_late_for_are_taken_at_the_end(
    reader: OutputReader, spawned: Spawn
) -> None:
    class SlowStream(MaskedStream):
        def feed(self, data: bytes) -> bytes:
            time.sleep(0.5)
            return data

    class SlowMasker(Masker):
        def stream(self) -> MaskedStream:
            return SlowStream(self)

    capture = open_capture(reader, masker=SlowMasker())
    lines: list[Line] = []
    capture.follow(lines.extend)
    child = spawned(capture, "seq 1 1000; (sleep 60) & echo last")
    child.wait(DEADLINE)

    assert await capture.drained(0.1, DEADLINE)
    assert [line.text for line in lines] == [*map(str, range(1, 1001)), "last"]
    await capture.close()


async def test_a_loop_that_is_closed_harms_nobody(spawned: Spawn) -> None:
    reader = OutputReader()
    sink = MemorySink()

    def in_another_loop() -> None:
        async def start() -> None:
            capture = open_capture(reader, sink)
            capture.follow(lambda _lines: None)
            spawned(capture, "sleep 0.2; echo late")

        asyncio.run(start())

    await asyncio.to_thread(in_another_loop)
    await until(lambda: sink.text() == b"late\n")
    reader.close()
    assert sink.closed == 1


@pytest.mark.skipif(not hasattr(fcntl, "F_GETPIPE_SZ"), reason="other systems do not tell the size of a pipe")
async def test_only_pipes_of_those_that_print_much_are_large(reader: OutputReader) -> None:
    captures = [open_capture(reader) for _ in range(2)]
    fds = [fd for capture in captures if (fd := capture.write_fd("stdout")) is not None]

    os.write(fds[0], b"x" * MUCH)  # less than the pipe holds: a flood seldom fills each of its pages
    os.write(fds[1], b"little")

    await until(lambda: fcntl.fcntl(fds[0], fcntl.F_GETPIPE_SZ) == SIZE)
    await until(lambda: captures[1].tail("stdout") == "little")
    assert fcntl.fcntl(fds[1], fcntl.F_GETPIPE_SZ) < SIZE
    for capture in captures:
        await capture.close()
