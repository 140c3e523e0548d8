"""The log file: rotation that loses and tears nothing, disks that fill up, folders that vanish."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
import tempfile
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hostler import LogFileCreationFailed, ServerSpec, ServerView, Size
from hostler.process.output.capture import OutputReader
from hostler_plugins.log_rotation import LogRotation
from hostler_plugins.log_rotation.sink import LONGEST, LogFile
from hypothesis import given
from hypothesis import strategies as st
from launches import a_launch
from log_files import log, path
from output_capture import DEADLINE, Spawn, open_capture, reader, spawned

__all__ = ["log", "path", "reader", "spawned"]


def some_file(path: Path) -> Path:
    path.touch()
    return path


SERVER = cast("ServerView", SimpleNamespace(name="web"))


def files(path: Path) -> list[Path]:
    """The log's files, oldest first."""
    rotated = [one for one in path.parent.iterdir() if one.name.startswith(f"{path.name}.")]
    return [*sorted(rotated, key=lambda one: -int(one.suffix[1:])), path]


def whole(path: Path) -> bytes:
    return b"".join(one.read_bytes() for one in files(path))


def content(path: Path) -> bytes:
    return path.read_bytes()


@pytest.mark.requirement("R30")
async def test_the_file_is_named_after_the_server_and_private_whatever_the_umask(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    edited = a_launch(data_dir)
    before = os.umask(0)

    try:
        await LogRotation().pre_spawn(SERVER, edited)
    finally:
        os.umask(before)

    (sink,) = edited.sinks
    sink.write("stdout", b"hello\n")
    sink.close()
    assert (data_dir / "web.log").read_bytes() == b"hello\n"
    assert stat.S_IMODE((data_dir / "web.log").stat().st_mode) == 0o600
    assert stat.S_IMODE(data_dir.stat().st_mode) == 0o700


async def test_the_path_is_relative_to_the_data_directory_and_is_made(tmp_path: Path) -> None:
    edited = a_launch(tmp_path)

    await LogRotation(path=Path("deep/er/out.txt")).pre_spawn(SERVER, edited)

    assert (tmp_path / "deep" / "er" / "out.txt").exists()
    edited.sinks[0].close()


async def test_a_run_that_fails_before_the_first_output_lets_go_of_the_file(
    tmp_path: Path, log: Callable[..., LogFile]
) -> None:
    edited = a_launch(tmp_path)
    await LogRotation().pre_spawn(SERVER, edited)
    for cleanup in edited.cleanups:
        cleanup()
    log(tmp_path / "web.log").close()


async def test_the_clean_up_of_a_run_leaves_a_file_alone_that_the_pump_uses(tmp_path: Path) -> None:
    edited = a_launch(tmp_path)
    await LogRotation().pre_spawn(SERVER, edited)
    edited.sinks[0].write("stdout", b"one\n")
    for cleanup in edited.cleanups:
        cleanup()
    edited.sinks[0].write("stdout", b"two\n")
    edited.sinks[0].close()
    assert (tmp_path / "web.log").read_bytes() == b"one\ntwo\n"


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (lambda path: path.mkdir(), "Is a directory"),
        (lambda path: path.symlink_to("/dev/stdout"), "it is a symbolic link"),
        (os.mkfifo, "it is not a regular file"),
        (lambda path: path.hardlink_to(some_file(path.with_name("ours"))), "it has a second name"),
    ],
    ids=["folder", "symlink", "fifo", "hard link"],
)
async def test_a_file_that_cannot_be_written_fails_before_the_start(
    tmp_path: Path, prepare: Callable[[Path], object], reason: str
) -> None:
    prepare(tmp_path / "web.log")
    edited = a_launch(tmp_path)

    with pytest.raises(LogFileCreationFailed, match=reason) as failure:
        await LogRotation().pre_spawn(SERVER, edited)

    assert "web.log" in failure.value.message
    assert failure.value.context.hint
    assert failure.value.context.server == "web"
    assert not edited.sinks
    [told] = LogRotation().check(ServerSpec(name="web"), a_launch(tmp_path))  # a look finds it too
    assert "web.log cannot be written: it " in told


async def test_a_folder_that_is_a_file_fails_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")
    with pytest.raises(LogFileCreationFailed, match="Not a directory|File exists"):
        await LogRotation(path=Path("logs/web.log")).pre_spawn(SERVER, a_launch(tmp_path))


async def test_a_second_server_that_writes_the_same_file_is_refused(tmp_path: Path) -> None:
    first = a_launch(tmp_path)
    await LogRotation().pre_spawn(SERVER, first)
    with pytest.raises(LogFileCreationFailed, match="another server of this hostler writes to it") as caught:
        await LogRotation().pre_spawn(SERVER, a_launch(tmp_path))
    assert "a file of its own" in caught.value.context.hint
    first.sinks[0].close()


async def test_another_process_that_writes_the_same_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "web.log"
    program = (
        "import fcntl, sys; f = open(sys.argv[1], 'a'); fcntl.flock(f, 2); print('locked'); sys.stdin.read()"
    )
    argv = [sys.executable, "-I", "-S", "-u", "-c", program, str(file)]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:  # noqa: ASYNC220
        assert process.stdout is not None
        assert process.stdout.readline() == b"locked\n"
        with pytest.raises(LogFileCreationFailed, match=rf"process {process.pid} \(python"):
            await LogRotation().pre_spawn(SERVER, a_launch(tmp_path))
        process.communicate(b"\n")


@pytest.mark.parametrize("options", [{"keep": -1}, {"max_size": Size(0)}])
def test_options_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="must be"):
        LogRotation(**options)


async def test_a_child_s_output_is_kept_byte_for_byte(
    reader: OutputReader, spawned: Spawn, log: Callable[..., LogFile], path: Path
) -> None:
    capture = open_capture(reader, log())

    spawned(capture, r"printf 'nul[\000]\nbad[\377\376]\nansi[\033[31m]\ncr[\r]\nlast-without-newline'")

    assert await capture.drained(DEADLINE)
    expected = b"nul[\0]\nbad[\xff\xfe]\nansi[\x1b[31m]\ncr[\r]\nlast-without-newline"
    assert content(path) == expected
    await capture.close()
    assert content(path) == expected


@pytest.mark.requirement("R30")
async def test_a_flood_on_both_streams_is_rotated_and_no_line_is_lost_or_torn(
    reader: OutputReader, spawned: Spawn, log: Callable[..., LogFile], path: Path
) -> None:
    capture = open_capture(reader, log(max_size=300_000, keep=1000))
    program = (
        "import os, sys, threading\n"
        "def flood(fd, mark):\n"
        "    for n in range(0, 40000, 100):\n"
        "        data = b''.join(b'%s%06d%s\\n' % (mark, m, b'.' * (m % 180)) for m in range(n, n + 100))\n"
        "        while data: data = data[os.write(fd, data):]\n"
        "threads = [threading.Thread(target=flood, args=a) for a in ((1, b'o'), (2, b'e'))]\n"
        "for t in threads: t.start()\n"
        "for t in threads: t.join()\n"
        "os.write(1, b'unfinished')\n"
    )

    spawned(capture, sys.executable, "-I", "-S", "-c", program)

    assert await capture.drained(DEADLINE)
    await capture.close()
    *rotated, last = files(path)
    assert len(rotated) > 20
    assert all(one.read_bytes().endswith(b"\n") for one in rotated)
    assert all(one.stat().st_size <= 300_000 for one in rotated)
    assert last.read_bytes().endswith(b"\nunfinished")
    lines = whole(path).split(b"\n")[:-1]

    for mark in (b"o", b"e"):
        expected = [b"%s%06d%s" % (mark, n, b"." * (n % 180)) for n in range(40000)]
        assert [line for line in lines if line.startswith(mark)] == expected

    assert len(lines) == 80000


@given(
    pieces=st.lists(st.tuples(st.booleans(), st.text("ab\n", max_size=12)), max_size=30),
    max_size=st.integers(1, 40),
)
def test_however_streams_are_cut_their_lines_are_whole_and_in_order(
    pieces: list[tuple[bool, str]], max_size: int
) -> None:
    """stdout writes lower case, stderr upper case, so that a mixed line would show."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "web.log"
        log = LogFile(path, max_size=max_size, keep=1000, timestamps=False)
        log.open()
        for upper, text in pieces:
            log.write("stderr" if upper else "stdout", (text.upper() if upper else text).encode())
        log.close()
        sizes = [one.stat().st_size for one in files(path)]
        ends = [one.read_bytes()[-1:] for one in files(path)[:-1]]
        counts = [one.read_bytes().rstrip(b"\n").count(b"\n") for one in files(path)]
        lines = whole(path).decode().splitlines()

    assert set(ends) <= {b"\n"}
    assert all(size <= max_size or not count for size, count in zip(sizes, counts, strict=True))
    assert not any(line.lower() != line and line.upper() != line for line in lines)

    for upper in (False, True):
        given_text = "".join(text for kind, text in pieces if kind == upper)
        expected = (given_text.upper() if upper else given_text).splitlines()
        own = [line for line in lines if line and (line.isupper() if upper else line.islower())]
        assert own == [line for line in expected if line]


def test_an_unfinished_line_is_in_the_file_at_once_and_lines_of_the_other_stream_go_before_it(
    log: Callable[..., LogFile], path: Path
) -> None:
    sink = log()

    sink.write("stdout", b"Password: ")
    assert path.read_bytes() == b"Password: "
    sink.write("stderr", b"hi\nwar")
    assert path.read_bytes() == b"hi\nPassword: "
    sink.write("stderr", b"ning\n")
    assert path.read_bytes() == b"hi\nwarning\nPassword: "
    sink.write("stdout", b"***\n")
    assert path.read_bytes() == b"hi\nwarning\nPassword: ***\n"


def test_the_second_of_two_unfinished_lines_comes_when_the_first_is_finished_or_at_the_close(
    log: Callable[..., LogFile], path: Path
) -> None:
    sink = log()

    sink.write("stdout", b"one")
    sink.write("stderr", b"two")
    assert path.read_bytes() == b"one"
    sink.write("stdout", b"!\n")
    assert path.read_bytes() == b"one!\ntwo"
    sink.write("stdout", b"three")
    sink.close()
    assert path.read_bytes() == b"one!\ntwo\nthree"


def test_a_file_that_ends_within_a_line_is_gone_on_with_at_a_new_one(
    log: Callable[..., LogFile], path: Path
) -> None:
    path.parent.mkdir()
    path.write_bytes(b"before\nkilled he")

    log().write("stdout", b"next\n")

    assert path.read_bytes() == b"before\nkilled he\nnext\n"


def test_a_file_that_is_too_large_already_is_rotated_first(log: Callable[..., LogFile], path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"old\n" * 100)

    log(max_size=100).write("stdout", b"new\n")

    assert path.read_bytes() == b"new\n"
    assert path.with_name("web.log.1").read_bytes() == b"old\n" * 100


def test_only_so_many_files_are_kept_and_surplus_ones_removed(
    log: Callable[..., LogFile], path: Path
) -> None:
    path.parent.mkdir()
    for number in (1, 2, 3, 4):
        path.with_name(f"web.log.{number}").write_bytes(b"old %d\n" % number)
    sink = log(max_size=8, keep=2)
    sink.write("stdout", b"first\nsecond\n")

    assert [one.name for one in files(path)] == ["web.log.2", "web.log.1", "web.log"]
    assert whole(path) == b"old 1\nfirst\nsecond\n"


def test_with_none_kept_the_file_is_begun_anew(log: Callable[..., LogFile], path: Path) -> None:
    sink = log(max_size=8, keep=0)

    sink.write("stdout", b"first\nsecond\n")

    assert [one.name for one in files(path)] == ["web.log"]
    assert path.read_bytes() == b"second\n"


def test_a_line_that_is_larger_than_a_file_is_kept_whole(log: Callable[..., LogFile], path: Path) -> None:
    sink = log(max_size=10)

    sink.write("stdout", b"a\n" + b"x" * 30)
    sink.write("stdout", b"x" * 30 + b"\nb\n")

    assert [one.read_bytes() for one in files(path)] == [b"a\n", b"x" * 60 + b"\n", b"b\n"]


def test_100_mb_without_a_line_end_need_little_memory_and_are_all_there(
    log: Callable[..., LogFile], path: Path
) -> None:
    sink = log(max_size=40_000_000)
    piece = b"x" * 100_000
    tracemalloc.start()

    for _ in range(1000):
        sink.write("stdout", piece)

    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    sink.write("stdout", b"\nafter\n")
    assert peak < 2_000_000
    assert [one.stat().st_size for one in files(path)] == [40_000_000, 40_000_000, 20_000_007]
    assert path.read_bytes().endswith(b"x\nafter\n")


def test_lines_of_the_other_stream_end_a_line_that_is_too_long(
    log: Callable[..., LogFile], path: Path
) -> None:
    sink = log()
    long = b"x" * (LONGEST + 1)

    sink.write("stdout", long)
    sink.write("stderr", b"hello\n")
    sink.write("stdout", b"rest\n")
    sink.write("stdout", b"prompt")
    sink.write("stderr", long)

    assert path.read_bytes() == long + b"\nhello\nrest\n" + long + b"\nprompt"


def test_pieces_of_a_line_that_is_too_long_fill_small_files_of_a_bounded_number(
    log: Callable[..., LogFile], path: Path
) -> None:
    sink = log(max_size=1000, keep=100)
    for _ in range(10):
        sink.write("stdout", b"x" * LONGEST)
    sink.write("stdout", b"\n")
    assert sum(one.stat().st_size for one in files(path)) == 10 * LONGEST + 1
    assert len(files(path)) < 15


def test_every_line_has_the_time_when_it_is_asked_for(log: Callable[..., LogFile], path: Path) -> None:
    sink = log(timestamps=True)

    sink.write("stdout", b"one\ntw")
    sink.write("stdout", b"o\n\n")
    sink.write("stderr", b"three")
    sink.write("stderr", b"")

    lines = path.read_text().split("\n")
    assert [line[24:] for line in lines] == [" one", " two", " ", " three"]
    assert all(line[:24].endswith("Z") and line[10] == "T" for line in lines)
