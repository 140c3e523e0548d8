"""The history of logs: pages over rotated files, merged by time, and the seam of a cursor."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hostler import StreamName
from hostler.control.log_forwards import LogReader, read_after
from hostler.control.log_history import RunMark, ServerLog, read_last
from hostler.control.log_lines import LogLine, Selection
from hypothesis import given, settings
from hypothesis import strategies as st
from written_logs import Writer

ALL = Selection()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path)
    yield writer
    writer.file.close()


def texts(lines: list[LogLine]) -> list[str]:
    return [line.text for line in lines]


def test_the_last_lines_have_their_stream_run_pid_and_time(web: Writer) -> None:
    web.file.write("stdout", b"one\ntwo\n")
    web.file.write("stderr", b"oh\n")
    web.again()
    web.file.write("stdout", b"three\nhalf")

    page = read_last([web.log], ALL, 3)

    assert [line[1:6] + line[7:] for line in page.lines] == [
        ("web", "stderr", 1, 101, "oh", False),
        ("web", "stdout", 2, 102, "three", False),
        ("web", "stdout", 2, 102, "half", True),
    ]
    assert all(line.time for line in page.lines)
    assert [(item.run, item.pid) for item in page.items if isinstance(item, RunMark)] == [(2, 102)]


def test_several_logs_of_many_files_are_read_by_time_with_one_file_of_each_open(tmp_path: Path) -> None:
    writers = [Writer(tmp_path, name, max_size=200) for name in ("db", "web")]
    for number in range(200):
        writers[number % 2].file.write("stdout", b"line %d\n" % number)
        time.sleep(0.0001)  # times are in microseconds
    files = {path.name for path in tmp_path.glob("*.log.*")}
    logs = [writer.log for writer in writers]
    for writer in writers:
        writer.file.close()
    reader, found, whole = LogReader(logs, ALL, ""), list[LogLine](), read_after(logs, ALL, 1000, "").lines

    while (page := reader.page(7)).lines:
        opened = [str(fd.readlink()) for fd in Path("/proc/self/fd").iterdir() if fd.is_symlink()]
        assert sum(name.startswith(str(tmp_path)) for name in opened) <= 2  # nor their folders
        found += page.lines
        assert read_after(logs, ALL, 1000, page.next).lines == whole[len(found) :]

    assert len(files) >= 10
    assert {*texts(found)} == {f"line {number}" for number in range(200)}
    assert [line.time for line in found] == sorted(line.time or 0 for line in found)


def test_the_last_lines_of_several_logs_are_the_end_of_all_of_them(tmp_path: Path, web: Writer) -> None:
    db = Writer(tmp_path, "db")
    for number in range(42):
        if number % 6 == 3:
            web.again()  # then it prints nothing for a while
        writer = web if number % 6 == 1 else db
        stream: StreamName = "stderr" if number % 2 else "stdout"  # each line has its own time, then
        writer.file.write(stream, b"line %d\n" % number)
        time.sleep(0.0001)  # times are in microseconds
    db.file.close()
    logs = [db.log, web.log]

    whole = read_after(logs, ALL, 1000, "").items
    ends = [read_last(logs, ALL, count) for count in range(42)]

    for count, page in enumerate(ends):
        start = len(whole) - len(page.items)
        assert (len(page.lines), page.items, page.more) == (count, whole[start:], True)
        assert isinstance(whole[start - 1], LogLine)  # the runs that began after it are all there
        assert read_after(logs, ALL, 1000, page.previous).lines == page.lines


def test_a_run_is_the_last_one_of_its_number_as_each_hostler_counts_anew(web: Writer) -> None:
    for hostler in (b"former", b"own"):
        for number in (b"1", b"2"):
            web.file.write("stdout", hostler + b" " + number + b"\n")
            time.sleep(0.002)  # lines may have their own times, in milliseconds
            web.run = 0 if number == b"2" else web.run
            web.again()

    for run, lines in ((1, []), (2, ["own 2"])):  # another one has begun
        pages = [
            read_last([web.log], Selection(run=run), 10),
            read_after([web.log], Selection(run=run), 10, ""),
        ]
        assert [texts(page.lines) for page in pages] == [lines] * 2
        assert [sum(isinstance(item, RunMark) for item in page.items) for page in pages] == [1, 1]


def test_a_run_in_which_the_clock_was_set_back_is_there_as_a_whole(
    web: Writer, monkeypatch: pytest.MonkeyPatch
) -> None:
    web.again()
    web.file.write("stdout", b"one\n")
    an_hour_ago = time.time_ns() - 3_600 * 10**9
    monkeypatch.setattr(time, "time_ns", lambda: an_hour_ago)
    web.file.write("stderr", b"two\n")

    assert texts(read_last([web.log], Selection(run=2), 10).lines) == ["one", "two"]


def test_who_reads_while_an_index_is_about_to_be_renamed_misses_nothing(tmp_path: Path) -> None:
    web = Writer(tmp_path, max_size=100)
    web.file.write("stdout", b"one\n")
    cursor = read_after([web.log], ALL, 1, "").next
    for number in range(20):
        web.file.write("stdout", b"line %d\n" % number)
    web.file.close()
    (oldest,) = [path for path in tmp_path.glob(".*index*") if path.read_bytes()[8:24].hex()[:16] in cursor]
    renamed = threading.Timer(0.01, oldest.with_suffix(".later").rename, [oldest])
    oldest.rename(oldest.with_suffix(".later"))
    renamed.start()

    page = read_after([web.log], ALL, 1000, cursor)

    renamed.join()
    assert (page.missed, texts(page.lines)) == ((), [f"line {number}" for number in range(20)])


def test_without_an_index_logs_that_begin_alike_are_told_apart(tmp_path: Path) -> None:
    writers = [Writer(tmp_path, name, index=None, max_size=100) for name in ("db", "web")]
    cursor, found = "", list[tuple[str, str]]()
    for number in range(60):
        writers[number % 3 % 2].file.write("stdout", b"line %d\n" % (number // 6))
        page = read_after([writer.log for writer in writers], ALL, 1000, cursor)
        assert not page.missed
        found += [(line.server, line.text) for line in page.lines]
        cursor = page.next
    for writer in writers:
        writer.file.close()

    assert found == [(["db", "web"][at % 3 % 2], f"line {at // 6}") for at in range(60)]


def test_without_an_index_a_file_without_a_whole_line_is_no_place_yet(tmp_path: Path) -> None:
    log = ServerLog("web", tmp_path / "web.log")
    (tmp_path / "web.log.1").write_text("one\n")
    log.path.touch()
    first = read_after([log], ALL, 1000, "")
    log.path.write_text("ha")
    last = read_last([log], ALL, 1000)
    log.path.write_text("half\n")
    following = [read_after([log], ALL, 1000, page.next) for page in (first, last)]
    before = read_last([log], ALL, 1000, read_last([log], ALL, 1).previous)

    assert (texts(first.lines), texts(last.lines)) == (["one"], ["one", "ha"])
    assert [(texts(page.lines), page.missed) for page in following] == [(["half"], ())] * 2
    assert texts(before.lines) == ["one"]
    for path in tmp_path.iterdir():
        path.unlink()
    log.path.touch()
    emptied = read_after([log], ALL, 1000, first.next)
    assert (emptied.missed, read_after([log], ALL, 1000, emptied.next).missed) == (("web",), ())


# -- the seam --------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.sampled_from(["stdout", "stderr"]), st.lists(st.integers(0, 60), max_size=4), st.booleans()
        ),
        st.sampled_from(["run", "read", "resume"]),
    ),
    max_size=25,
)


class Model:
    """A log that is written and read in any order, and what its two streams were."""

    def __init__(self, folder: str, page: int, **options: Any) -> None:
        self.writer = Writer(Path(folder), keep=10_000, **options)
        self.page = page
        self.written = {"stdout": "", "stderr": ""}
        self.read: list[LogLine] = []
        self.cursor = ""
        self.number = 0

    def take(self, step: Any) -> None:
        if isinstance(step, tuple):
            self.write(*step)
        elif step == "run":
            self.next_run()
        elif step == "read":
            self.follow()
        elif self.read:  # as a client that was cut off behind the last line it got
            self.cursor = self.read[-1].cursor

    def write(self, stream: StreamName, sizes: list[int], ends: bool) -> None:
        first = self.number + 1
        self.number += len(sizes)
        data = "".join(f"{stream[3]}{first + at}:{'x' * size}\n" for at, size in enumerate(sizes))
        data = data if ends else data.removesuffix("\n")
        self.written[stream] += data
        self.writer.file.write(stream, data.encode())

    def next_run(self) -> None:
        for stream, text in self.written.items():  # a new run ends the last lines of the one before
            self.written[stream] = text + "\n" if text and not text.endswith("\n") else text
        self.writer.again()

    def follow(self) -> bool:
        """Read one page; whether it had lines."""
        found = read_after([self.writer.log], ALL, self.page, self.cursor)
        assert not found.missed
        self.read += found.lines
        self.cursor = found.next
        return bool(found.lines)

    def backwards(self, cursor: str) -> list[LogLine]:
        lines: list[LogLine] = []
        while cursor:
            found = read_last([self.writer.log], ALL, self.page, cursor)
            lines[:0] = found.lines
            cursor = found.previous
        return lines


@settings(max_examples=150, deadline=None)
@given(steps=STEPS, max_size=st.integers(20, 400), page=st.integers(1, 5), compress=st.booleans())
def test_one_who_follows_gets_each_line_once_whatever_is_written_meanwhile(
    steps: list[Any], max_size: int, page: int, compress: bool
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        model = Model(folder, page, max_size=max_size, compress=compress)
        for step in steps:
            model.take(step)
        model.next_run()
        model.writer.file.close()
        while model.follow():
            pass

        for stream, text in model.written.items():
            assert texts([line for line in model.read if line.stream == stream]) == text.splitlines()
        last = read_last([model.writer.log], ALL, 1000)
        assert [line[1:] for line in last.lines] == [line[1:] for line in model.read]
        assert model.backwards(last.next) == last.lines
