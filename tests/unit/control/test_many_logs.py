"""The logs of many servers: whatever their number, few files are open, and where none can be, it is told."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hostler.control.compressed_log import CompressedLog
from hostler.control.log_forwards import LogReader, read_after
from hostler.control.log_history import ServerLog
from hostler.control.log_lines import LogLine, Selection
from written_logs import Writer

ALL = Selection()
SERVERS = 100
READ = """
import resource, sys
from pathlib import Path
from hostler.control.log_forwards import LogReader
from hostler.control.log_history import ServerLog, read_last
from hostler.control.log_lines import Selection

logs = [ServerLog(path.stem, path) for path in sorted(Path(sys.argv[1]).glob("*.log"))]
read_last(logs[:1], Selection(), 1)  # what is imported late
resource.setrlimit(resource.RLIMIT_NOFILE, (int(sys.argv[2]), int(sys.argv[2])))
try:
    reader, more, lines = LogReader(logs, Selection(), ""), True, []
    while more:
        page = reader.page(1000)
        more = page.more
        lines += page.lines
        assert not page.missed, page.missed
    assert [line.time for line in lines] == sorted(line.time for line in lines)
    print(len(lines), len({(line.server, line.text) for line in lines}))
except OSError as error:
    print(error.strerror)
try:
    print(len({line.server for line in read_last(logs, Selection(), 100_000).lines}))
except OSError as error:
    print(error.strerror)
"""


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    """Of each server, a compressed file and one that is not, both longer than what is read at a time."""
    for server in range(SERVERS):
        writer = Writer(tmp_path, f"s{server}", max_size=60_000, compress=True)
        for number in range(11):
            writer.file.write("stdout", b"%d %s\n" % (number, b"y" * 9_000))
        writer.file.close()
    return tmp_path


def test_with_few_descriptors_all_lines_are_read_or_the_lack_is_told(logs: Path) -> None:
    def told(descriptors: int) -> list[str]:
        command = [sys.executable, "-c", READ, str(logs), str(descriptors)]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()

    assert told(16) == [f"{SERVERS * 11} {SERVERS * 11}", f"{SERVERS}"]
    assert told(5) == ["Too many open files", "Too many open files"]


def beside_many(web: Writer) -> list[ServerLog]:
    """So many logs that the file of this one rests between blocks."""
    return [web.log, *(ServerLog(f"s{number}", web.log.path.with_name("none")) for number in range(SERVERS))]


def write(web: Writer, first: int, count: int) -> None:
    for number in range(first, first + count):
        web.file.write("stdout", b"%d %s\n" % (number, b"y" * 50))


def numbers(lines: list[LogLine]) -> list[int]:
    return [int(line.text.split()[0]) for line in lines]


@pytest.mark.parametrize(
    "options", [{}, {"compress": True}, {"index": None}], ids=["renamed", "compressed", "without index"]
)
def test_a_file_that_rests_is_read_on_by_whatever_name_it_has(
    tmp_path: Path, options: dict[str, Any]
) -> None:
    web = Writer(tmp_path, max_size=250_000, **options)
    write(web, 0, 4000)
    reader = LogReader(beside_many(web), ALL, "")
    found = reader.page(10).lines
    write(web, 4000, 4000)
    web.file.close()

    page = reader.page(100_000)

    behind = read_after([web.log], ALL, 100_000, page.next)
    assert (page.missed, behind.missed) == ((), ())
    assert numbers(found + page.lines + behind.lines) == [*range(8000)]
    assert len(page.lines) >= 3990


def test_a_file_that_was_removed_while_it_rested_is_told(tmp_path: Path) -> None:
    web = Writer(tmp_path, max_size=250_000, keep=1)
    write(web, 0, 4000)
    reader = LogReader(beside_many(web), ALL, "")
    found = numbers(reader.page(10).lines)
    write(web, 4000, 10_000)
    web.file.close()

    page = reader.page(100_000)

    found += numbers(page.lines)
    assert page.missed == ("web",)
    assert found == sorted(set(found))
    assert found[-1] == 13_999


def test_a_line_longer_than_a_block_is_whole(tmp_path: Path) -> None:
    web = Writer(tmp_path)
    web.file.write("stdout", b"short\n" + b"y" * 60_000 + b"\nlast\n")
    web.file.close()

    assert [len(line.text) for line in read_after(beside_many(web), ALL, 9, "").lines] == [5, 60_000, 4]


def test_joined_and_broken_gzip_files_are_read_as_far_as_they_go(tmp_path: Path) -> None:
    text = b"".join(b"line %d\n" % number for number in range(50_000))
    path = tmp_path / "web.log.1.gz"
    path.write_bytes(gzip.compress(text[:1000]) + gzip.compress(text[1000:]) + b"broken")
    log = CompressedLog()
    with path.open("rb") as file:
        blocks = [log.read(file.fileno(), start, 7000) for start in range(0, len(text) + 7000, 6500)]

        assert b"".join(block[:6500] for block in blocks) == text
        assert log.read(file.fileno(), 500, 1000) == text[500:1500]
        assert log.read(file.fileno(), 2**40, 1000) == b""
