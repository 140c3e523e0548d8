"""Log files on a full disk: what is lost is counted in the file."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from hostler.process.output.capture import OutputReader
from hostler_plugins.log_rotation.sink import LONGEST, LogFile
from log_files import log, path, small_disk
from output_capture import (
    DEADLINE,
    Spawn,
    Troubles,
    open_capture,
    reader,
    spawned,
    until,
)

__all__ = ["log", "path", "reader", "small_disk", "spawned"]


def content(path: Path) -> bytes:
    return path.read_bytes()


def fill(disk: Path) -> Path:
    """Leave no room on a disk."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096):
            pass
    return ballast


def test_a_full_disk_costs_whole_lines_which_are_counted_in_the_file(
    log: Callable[..., LogFile], small_disk: Path
) -> None:
    path = small_disk / "web.log"
    sink = log(path)
    sink.write("stdout", b"kept\nbegin")
    sink.write("stderr", b"other")
    ballast = fill(small_disk)
    pieces = [b"x" * 5000 + b" %03d\n" % number for number in range(100)]
    pieces.append(b"y" * 5000)

    for piece in pieces:
        with pytest.raises(OSError, match="No space left on device"):
            sink.write("stdout", piece)

    ballast.unlink()
    sink.write("stdout", b" of a lost line")
    sink.write("stdout", b"\nworks\n")
    sink.write("stderr", b" stream\n")
    text = path.read_bytes()
    sink.close()

    lost = sum(map(len, pieces)) + len(b"begin") + len(b" of a lost line\n")
    assert text == b"kept\n[hostler: %d bytes dropped: No space left on device]\nworks\nother stream\n" % lost


def test_the_unfinished_line_of_one_stream_outlives_the_loss_of_the_other(
    log: Callable[..., LogFile], small_disk: Path
) -> None:
    path = small_disk / "web.log"
    sink = log(path)
    sink.write("stdout", b"prompt")
    ballast = fill(small_disk)

    with pytest.raises(OSError, match="No space left on device"):
        sink.write("stderr", b"x" * 5000 + b"\n")

    ballast.unlink()
    sink.write("stdout", b": ")

    assert path.read_bytes() == b"[hostler: 5001 bytes dropped: No space left on device]\nprompt: "


def test_a_line_lost_on_one_stream_is_told_before_the_unfinished_line_of_the_other(
    log: Callable[..., LogFile], small_disk: Path
) -> None:
    path = small_disk / "web.log"
    sink = log(path)
    ballast = fill(small_disk)

    with pytest.raises(OSError, match="No space left on device"):
        sink.write("stdout", b"x" * 5000)

    ballast.unlink()
    sink.write("stderr", b"prompt")
    sink.write("stdout", b"rest\nnext\n")

    mark = b"[hostler: %d bytes dropped: No space left on device]\n"
    assert path.read_bytes() == mark % 5000 + mark % 5 + b"next\nprompt"


async def test_a_full_disk_keeps_the_child_running_and_every_byte_is_kept_or_counted(
    reader: OutputReader, spawned: Spawn, log: Callable[..., LogFile], small_disk: Path
) -> None:
    """The disk may be full several times: a small piece can fit where a large one did not."""
    troubles = Troubles()
    path = small_disk / "web.log"
    ballast = small_disk / "ballast"
    ballast.write_bytes(b"x" * 900_000)
    capture = open_capture(reader, log(path), reported=troubles)
    program = (
        "import os, time\n"
        "for n in range(100000):\n"
        "    os.write(1, b''.join(b'%08d %s\\n' % (m, b'x' * 90) for m in range(n * 10, n * 10 + 10)))\n"
        "    time.sleep(0.0005)\n"
    )
    process = spawned(capture, sys.executable, "-I", "-S", "-c", program)
    await until(lambda: "No space left on device" in "".join(text for _, text, _ in troubles))

    ballast.unlink()
    room_at = len(content(path))
    await until(lambda: troubles.topics[-1] == "sink_recovered" and len(content(path)) > room_at + 5000)
    assert process.poll() is None
    process.kill()
    process.wait()
    assert await capture.drained(DEADLINE)
    await capture.close()

    position, marks = 0, 0

    for line in content(path).splitlines(keepends=True):
        if line.startswith(b"[hostler: "):
            position += int(line.split()[1])
            marks += 1
        else:
            assert int(line[:8]) * 100 == position
            assert len(line) == 100
            position += 100

    assert marks == troubles.topics.count("sink_recovered") > 0


def test_a_file_that_is_emptied_to_make_room_begins_with_what_is_missing(
    log: Callable[..., LogFile], small_disk: Path
) -> None:
    path = small_disk / "web.log"
    sink = log(path)
    piece = (b"x" * 99 + b"\n") * 600
    fits = 1024 * 1024 // len(piece)
    for _ in range(fits):
        sink.write("stdout", piece)

    with pytest.raises(OSError, match="No space left on device"):
        sink.write("stdout", piece)

    changed = path.stat().st_ctime_ns

    for _ in range(3):
        with pytest.raises(OSError, match="No space left on device"):
            sink.write("stdout", piece)

    assert path.stat().st_ctime_ns == changed  # nothing was written that had to be cut off again
    os.truncate(path, 0)
    sink.write("stdout", b"next\n")

    assert path.read_bytes() == b"[hostler: 240000 bytes dropped: No space left on device]\nnext\n"


def test_what_was_lost_is_in_the_file_even_when_nothing_comes_after_it(
    log: Callable[..., LogFile], small_disk: Path
) -> None:
    path = small_disk / "web.log"
    sink = log(path)
    sink.write("stdout", b"x" * (LONGEST + 10))
    ballast = fill(small_disk)

    with pytest.raises(OSError, match="No space"):
        sink.write("stdout", b"y" * 8192 + b"\n")

    ballast.unlink()
    sink.close()

    mark = b"\n[hostler: 8193 bytes dropped: No space left on device]\n"
    assert path.read_bytes() == b"x" * (LONGEST + 10) + mark


def test_a_file_that_cannot_be_written_at_the_close_is_closed_all_the_same(
    log: Callable[..., LogFile], small_disk: Path
) -> None:
    path = small_disk / "web.log"
    sink = log(path)
    fill(small_disk)
    with pytest.raises(OSError, match="No space"):
        sink.write("stdout", b"y" * 8192 + b"\n")
    with pytest.raises(OSError, match="No space"):
        sink.close()
    log(path).close()
