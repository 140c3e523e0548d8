"""The index of a log beside faults: what cannot be known is not told, and no line is lost or comes twice."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hostler import LogIndex
from hostler.control.log_forwards import read_after
from hostler.control.log_history import LogPage, RunMark, ServerLog, read_last
from hostler.control.log_lines import Selection
from log_files import small_disk
from written_logs import Writer

__all__ = ["small_disk"]

ALL = Selection()


@pytest.fixture
def web(tmp_path: Path) -> Iterator[Writer]:
    writer = Writer(tmp_path)
    yield writer
    writer.file.close()


def last(log: ServerLog, **selected: Any) -> list[str]:
    return [line.text for line in read_last([log], Selection(**selected), 100).lines]


def index_of(writer: Writer) -> Path:
    return writer.log.path.with_name(LogIndex.name_of(writer.log.path.name))


def known(log: ServerLog) -> list[tuple[str | None, int | None, str]]:
    return [(line.stream, line.run, line.text) for line in read_last([log], ALL, 100).lines]


def write_both(web: Writer) -> None:
    web.file.write("stdout", b"one\n")
    web.file.write("stderr", b"oh\n")


def remove(index: Path) -> None:
    index.unlink()


def garble(index: Path) -> None:
    index.write_bytes(os.urandom(200))


def empty(index: Path) -> None:
    os.truncate(index, 0)


def disorder(index: Path) -> None:
    data = index.read_bytes()
    index.write_bytes(data[:64] + data[-32:] + data[64:])


def open_to_others(index: Path) -> None:
    index.chmod(0o644)


def link_elsewhere(index: Path) -> None:
    index.rename(index.with_name("index"))
    index.symlink_to("index")


@pytest.mark.parametrize("spoil", [remove, garble, empty, disorder, open_to_others, link_elsewhere])
def test_without_a_sound_index_the_lines_are_there_and_nothing_is_said_of_them(
    web: Writer, spoil: Callable[[Path], None]
) -> None:
    write_both(web)
    spoil(index_of(web))

    assert known(web.log) == [(None, None, "one"), (None, None, "oh")]
    assert last(web.log, stream="stderr") == last(web.log, run=1) == []
    page = read_after([web.log], ALL, 1, "")
    assert [line.text for line in read_after([web.log], ALL, 9, page.next).lines] == ["oh"]

    web.again()
    web.file.write("stderr", b"new\n")
    assert known(web.log)[-1] == ("stderr", 2, "new")
    assert stat.S_IMODE(index_of(web).stat().st_mode) == 0o600


def test_a_record_that_was_cut_off_by_a_kill_is_none(web: Writer) -> None:
    write_both(web)
    cursor = read_last([web.log], ALL, 1).next
    web.file.disown()  # as a kill: nothing is written any more
    with index_of(web).open("ab") as file:
        file.write(b"\0" * 13)
    with web.log.path.open("ab") as file:
        file.write(b"torn")

    web.begin()
    web.file.write("stdout", b"two\n")
    expected = [("stdout", 1, "one"), ("stderr", 1, "oh"), ("stderr", 1, "torn"), ("stdout", 2, "two")]
    assert known(web.log) == expected
    assert [line.text for line in read_after([web.log], ALL, 9, cursor).lines] == ["torn", "two"]


def test_a_log_that_lost_its_end_in_a_power_cut_gives_its_places_to_no_other_line(web: Writer) -> None:
    write_both(web)
    cursor = read_last([web.log], ALL, 1).next
    web.file.disown()
    os.truncate(web.log.path, 4)
    os.utime(index_of(web), (1, 1))  # of before the system was started

    web.begin()
    web.file.write("stdout", b"another, longer line\n")
    page = read_after([web.log], ALL, 9, cursor)
    assert ([line.text for line in page.lines], page.missed) == (["another, longer line"], ())


def test_a_log_that_was_replaced_or_emptied_from_outside_is_not_told_by_the_old_index(web: Writer) -> None:
    write_both(web)
    web.file.close()
    web.log.path.rename(web.log.path.with_name("kept"))
    web.log.path.write_bytes(b"a line of another\n")
    assert known(web.log) == [(None, None, "a line of another")]

    web.log.path.chmod(0o600)
    web.begin()
    os.truncate(web.log.path, 0)
    time.sleep(0.6)  # after which the file is looked at again
    web.file.write("stderr", b"fresh\n")
    assert known(web.log) == [("stderr", 2, "fresh")]


def test_a_clock_that_is_set_back_changes_no_order(web: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    now = time.time_ns()
    web.file.write("stdout", b"one\n")
    monkeypatch.setattr(time, "time_ns", lambda: now - 3_600_000_000_000)
    web.file.write("stderr", b"an hour before\n")
    monkeypatch.setattr(time, "time_ns", lambda: now + 1_000_000_000)
    web.file.write("stdout", b"two\n")

    assert last(web.log) == ["one", "an hour before", "two"]
    assert last(web.log, since=now // 1000) == ["one", "two"]
    assert last(web.log, until=now // 1000 - 1_000_000) == ["an hour before"]
    assert [line.text for line in read_after([web.log], ALL, 9, "").lines] == ["one", "an hour before", "two"]


def test_on_a_full_disk_who_follows_gets_no_line_twice(small_disk: Path) -> None:
    web = Writer(small_disk, keep=0)
    got: list[str] = []
    cursor = ""

    def follow() -> LogPage:
        nonlocal cursor
        page = read_after([web.log], ALL, 10_000, cursor)
        got.extend(line.text for line in page.lines)
        cursor = page.next
        return page

    filler = small_disk / "filler"
    filler.write_bytes(b"x" * 600_000)
    written = 0
    for number in range(300):
        lines = b"".join(b"%d-%d %s\n" % (number, at, b"y" * 60) for at in range(50))
        try:
            web.file.write("stdout" if number % 2 else "stderr", lines)
            written += 1
        except OSError:
            if number % 7:
                continue
            if filler.exists() and number > 200:
                filler.unlink()
        follow()

    web.file.write("stdout", b"the end\n")
    follow()
    web.file.close()
    ours = [text for text in got if "y" in text]
    assert len(ours) == len(set(ours)) > 5000
    assert 100 < written < 300
    assert got[-1] == "the end"
    assert any(text.startswith("[hostler: ") for text in got)
    assert got == last_of_all(web)


def last_of_all(web: Writer) -> list[str]:
    return [line.text for line in read_last([web.log], ALL, 100_000).lines]


def test_a_run_without_output_is_known_by_its_beginning(web: Writer) -> None:
    web.again()
    page = read_after([web.log], ALL, 9, "")
    assert [item.run for item in page.items if isinstance(item, RunMark)] == [1, 2]


def test_the_index_moves_and_ends_with_its_file(tmp_path: Path) -> None:
    web = Writer(tmp_path, max_size=100, keep=2, compress=True)
    for number in range(20):
        web.file.write("stdout", b"a line of thirty characters %d\n" % number)
    web.file.close()
    names = sorted(path.name for path in tmp_path.iterdir())
    assert names == [
        ".web.log.1.index",
        ".web.log.2.index",
        ".web.log.index",
        "web.log",
        "web.log.1.gz",
        "web.log.2.gz",
    ]
    assert all(run == 1 for _, run, _ in known(web.log))


def test_without_the_option_an_old_index_is_removed(tmp_path: Path) -> None:
    web = Writer(tmp_path)
    web.file.close()
    web.options["index"] = None
    web.begin()
    assert [path.name for path in tmp_path.iterdir()] == ["web.log"]
    web.file.close()
