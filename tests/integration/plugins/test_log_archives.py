"""Log files by time, compressed, and as JSON."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from hostler import Directories, PluginError, PluginSpec, Supervisor
from hostler.plugins.options import build
from hostler_plugins.log_rotation import archives as archives_module
from hostler_plugins.log_rotation.compressor import Compressor
from hostler_plugins.log_rotation.json_lines import JsonLines, gap_in_json
from hostler_plugins.log_rotation.sink import LONGEST, LogFile
from hypothesis import given
from hypothesis import strategies as st
from log_files import small_disk
from output_capture import DEADLINE
from specs import MakeSpec, announced

__all__ = ["small_disk"]

DAY = 86400.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "web.log"


def opened(path: Path, **options: Any) -> LogFile:
    log = LogFile(path, **({"max_size": 10_000_000, "keep": 5} | options))
    log.open()
    return log


def names(path: Path) -> list[str]:
    return sorted(one.name for one in path.parent.iterdir())


# -- by time --------------------------------------------------------------------------------------


def test_a_file_of_yesterday_is_put_away_before_anything_is_added(path: Path) -> None:
    path.write_text("yesterday\n")
    os.utime(path, (time.time() - DAY, time.time() - DAY))
    log = opened(path, every=DAY)
    log.write("stdout", b"today\n")
    log.close()
    assert (path.read_text(), Path(f"{path}.1").read_text()) == ("today\n", "yesterday\n")


def test_a_file_of_today_is_gone_on_with_after_a_restart(path: Path) -> None:
    for line in (b"before\n", b"after\n"):
        log = opened(path, every=DAY)
        log.write("stdout", line)
        log.close()
    assert path.read_text() == "before\nafter\n"


def test_every_second_has_its_file_while_the_server_runs(path: Path) -> None:
    log = opened(path, every=1.0)
    begun = time.time()
    log.write("stdout", b"first\n")
    while int(time.time()) == int(begun):
        time.sleep(0.01)
    log.write("stdout", b"second\n")
    log.close()
    assert (path.read_text(), Path(f"{path}.1").read_text()) == ("second\n", "first\n")


def test_a_line_that_is_unfinished_at_midnight_stays_whole(path: Path) -> None:
    log = opened(path, every=1.0)
    begun = time.time()
    log.write("stdout", b"half a ")

    while int(time.time()) == int(begun):
        time.sleep(0.01)

    log.write("stdout", b"line\nnext\n")
    log.write("stdout", b"new\n")
    log.close()
    whole = "".join(one.read_text() for one in (Path(f"{path}.1"), path))
    assert whole == "half a line\nnext\nnew\n"
    assert path.read_text() == "new\n"


# -- beside the output ----------------------------------------------------------------------------


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.fixture
def held_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """What is done beside the output waits for this: a disk that is slow to free a file cannot be had."""
    go_on = threading.Event()
    free, compress = ExitStack.close, Compressor._write_part

    def free_later(stack: ExitStack) -> None:
        go_on.wait(DEADLINE)
        free(stack)

    def compress_later(compressor: Compressor, folder: int, source: int) -> None:
        go_on.wait(DEADLINE)
        compress(compressor, folder, source)

    monkeypatch.setattr(ExitStack, "close", free_later)
    monkeypatch.setattr(Compressor, "_write_part", compress_later)
    yield go_on
    go_on.set()


def test_output_does_not_wait_until_the_kernel_has_freed_the_oldest_file(
    path: Path, held_up: threading.Event
) -> None:
    before = descriptors()
    log = opened(path, max_size=10, keep=2)
    assert descriptors() == before + 1
    for number in range(4):
        log.write("stdout", b"line %d..\n" % number)
    assert names(path) == ["web.log", "web.log.1", "web.log.2"], "it has no name any more"
    assert path.read_bytes() == b"line 3..\n"
    assert descriptors() > before + 1, "but it is still there"
    held_up.set()
    log.close()
    assert descriptors() == before
    assert not [one for one in threading.enumerate() if one.name == "hostler-log-files"]


def test_a_disk_that_only_looks_full_until_the_oldest_file_is_freed_costs_nothing(
    small_disk: Path, held_up: threading.Event
) -> None:
    log = opened(small_disk / "web.log", max_size=300_000, keep=2)
    lines = [b"%07d" % number * 10_000 + b"\n" for number in range(40)]
    threading.Timer(0.2, held_up.set).start()
    for line in lines:
        log.write("stdout", line)
    log.close()
    kept = [one.read_bytes() for one in sorted(small_disk.iterdir(), reverse=True)]
    assert b"".join(kept) == b"".join(lines[-12:])


def test_files_are_kept_in_order_where_no_thread_can_be_had(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", refuse)  # the real limit would stop the test's own, too
    log = opened(path, max_size=10, keep=2, compress=True)
    for number in range(5):
        log.write("stdout", b"line %d..\n" % number)
    log.close()
    assert names(path) == ["web.log", "web.log.1.gz", "web.log.2.gz"]
    assert unpacked(Path(f"{path}.2.gz")) == b"line 2..\n"


# -- compressed -----------------------------------------------------------------------------------


def unpacked(path: Path) -> bytes:
    return gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()


def test_rotated_files_are_compressed_numbered_and_private(path: Path) -> None:
    os.umask(0)
    log = opened(path, max_size=10, keep=3, compress=True)

    for number in range(5):
        log.write("stdout", b"line %d..\n" % number)

    log.close()
    assert names(path) == ["web.log", "web.log.1.gz", "web.log.2.gz", "web.log.3.gz"]
    assert [unpacked(Path(f"{path}.{n}.gz")) for n in (1, 2, 3)] == [
        b"line 3..\n",
        b"line 2..\n",
        b"line 1..\n",
    ]
    assert {stat.S_IMODE(one.stat().st_mode) for one in path.parent.iterdir()} == {0o600}


def test_files_from_before_compression_keep_their_place(path: Path) -> None:
    for compress in (False, True, False):
        log = opened(path, max_size=10, keep=3, compress=compress)
        log.write("stdout", b"compress %d\n" % compress)
        log.close()

    log = opened(path, max_size=10, keep=3)
    log.write("stdout", b"the last \n")
    log.close()
    assert names(path) == ["web.log", "web.log.1", "web.log.2", "web.log.3.gz"]
    rotated = [one for n in (3, 2, 1) for one in path.parent.glob(f"web.log.{n}*")]
    assert [unpacked(one) for one in rotated] == [b"compress 0\n", b"compress 1\n", b"compress 0\n"]


def test_output_does_not_wait_for_the_compression_of_files_that_get_other_numbers_meanwhile(
    path: Path, held_up: threading.Event
) -> None:
    log = opened(path, max_size=10, keep=3, compress=True)
    for number in range(4):
        log.write("stdout", b"line %d..\n" % number)
    assert names(path) == ["web.log", "web.log.1", "web.log.2", "web.log.3"]
    held_up.set()
    log.close()
    assert names(path) == ["web.log", "web.log.1.gz", "web.log.2.gz", "web.log.3.gz"]
    assert [unpacked(Path(f"{path}.{n}.gz"))[5:6] for n in (1, 2, 3)] == [b"2", b"1", b"0"]


def test_a_file_that_is_gone_before_it_is_compressed_leaves_nothing(
    path: Path, held_up: threading.Event
) -> None:
    log = opened(path, max_size=10, keep=1, compress=True)
    for number in range(2):
        log.write("stdout", b"line %d..\n" % number)
    threading.Timer(0.1, held_up.set).start()  # the third rotation waits for the room of the oldest
    for number in range(2, 6):
        log.write("stdout", b"line %d..\n" % number)
    log.close()
    assert names(path) == ["web.log", "web.log.1.gz"]
    assert unpacked(Path(f"{path}.1.gz")) == b"line 4..\n"


def test_closing_waits_a_moment_for_compression_and_what_is_left_then_stays_as_it_is(
    path: Path, held_up: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archives_module, "_PATIENCE", 0.05)
    log = opened(path, max_size=10, keep=3, compress=True)
    for number in range(3):
        log.write("stdout", b"line %d..\n" % number)
    begun = time.monotonic()
    log.close()
    assert time.monotonic() - begun < DEADLINE / 2
    held_up.set()
    while any(one.name == "hostler-compress" for one in threading.enumerate()):
        assert time.monotonic() - begun < DEADLINE
        time.sleep(0.01)
    assert names(path) == ["web.log", "web.log.1", "web.log.2"]


WRITER = """
import itertools, pathlib, sys
from hostler_plugins.log_rotation.sink import LogFile
log = LogFile(pathlib.Path(sys.argv[1]), max_size=100_000, keep=10_000, compress=True)
log.open()
for number in itertools.count():
    log.write("stdout", b"%09d\\n" % number)
"""


def test_who_is_killed_while_files_are_compressed_has_lost_no_line(path: Path) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, path])
    deadline = time.monotonic() + DEADLINE
    while len(list(path.parent.glob("*.gz"))) < 5:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    writer.kill()
    writer.wait()
    log = opened(path, max_size=10, keep=10_000, compress=True)
    log.write("stdout", b"the end\n")
    log.close()
    rotated = sorted(path.parent.glob("web.log.*"), key=lambda one: -int(one.name.split(".")[2]))
    lines = b"".join(map(unpacked, rotated)).split(b"\n")
    numbers = [int(line) for line in lines if len(line) == 9]
    assert numbers == list(range(len(numbers)))
    assert len(lines) - len(numbers) <= 2, "the last line may be torn"


def test_nothing_is_lost_when_there_is_no_room_to_compress(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "none", str(disk)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("a disk cannot be mounted here")

    try:
        path = disk / "web.log"
        line = os.urandom(15_000).hex().encode() + b"\n"
        log = opened(path, max_size=len(line), keep=1, compress=True)
        log.write("stdout", line)
        log.write("stdout", b"next\n")
        log.close()
        assert names(path) == ["web.log", "web.log.1"] or unpacked(Path(f"{path}.1.gz")) == line
        assert path.read_bytes() == b"next\n"
    finally:
        subprocess.run(["umount", disk], check=True)


@given(st.lists(st.binary(min_size=1, max_size=40), max_size=30), st.integers(1, 60))
def test_however_they_are_cut_no_line_is_lost_by_compression(
    tmp_path_factory: pytest.TempPathFactory, pieces: list[bytes], size: int
) -> None:
    path = tmp_path_factory.mktemp("logs") / "web.log"
    log = opened(path, max_size=size, keep=2000, compress=True)
    for piece in pieces:
        log.write("stdout", piece)
    log.close()
    rotated = sorted(path.parent.glob("web.log.*"), key=lambda one: -int(one.name.split(".")[2]))
    assert b"".join(map(unpacked, [*rotated, path])) == b"".join(pieces)


# -- JSON -----------------------------------------------------------------------------------------


def in_json(path: Path, **options: Any) -> JsonLines:
    return JsonLines("web", opened(path, gap=lambda lost, why: gap_in_json("web", lost, why), **options))


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_each_line_is_an_object_with_time_server_and_stream(path: Path) -> None:
    log = in_json(path)
    log.write("stdout", b'say "hi"\r\nwait')
    log.write("stderr", b"\xff broken\n\n")
    log.write("stdout", b" for it\n")
    log.write("stderr", b"unfinished")
    log.close()
    told = [(one["stream"], one["line"]) for one in records(path)]
    assert told == [
        ("stdout", 'say "hi"'),
        ("stderr", "� broken"),
        ("stderr", ""),
        ("stdout", "wait for it"),
        ("stderr", "unfinished"),
    ]
    assert {one["server"] for one in records(path)} == {"web"}
    assert all(one["time"].endswith("Z") and "partial" not in one for one in records(path))


@pytest.mark.parametrize("at_once", [True, False])
def test_a_line_that_is_too_long_comes_in_pieces(path: Path, at_once: bool) -> None:
    line = b"x" * (2 * LONGEST + 10)
    log = in_json(path)
    for piece in [line + b"\n"] if at_once else [line[:LONGEST], line[LONGEST:], b"\n"]:
        log.write("stdout", piece)
    log.close()
    assert "".join(one["line"] for one in records(path)) == line.decode()
    assert [one.get("partial", False) for one in records(path)] == [True, True, False]


def test_what_was_lost_is_an_object_too(path: Path) -> None:
    log = in_json(path)
    log.write("stdout", b"one\n")
    folder = path.parent
    path.unlink()
    path.mkdir()  # where the file was, nothing can be written

    def tried() -> bool:
        try:
            log.write("stdout", b"two\n")
        except OSError:
            return False
        return True

    deadline = time.monotonic() + 10

    while tried():
        assert time.monotonic() < deadline

    path.rmdir()

    while not tried():
        assert time.monotonic() < deadline

    log.close()
    assert folder.exists()
    gap = records(path)[0]
    assert gap["dropped"] > 0
    assert (gap["server"], gap["reason"]) == ("web", "Is a directory")
    assert records(path)[1]["line"] == "two"


async def test_a_server_s_output_is_logged_as_json(make_spec: MakeSpec, directories: Directories) -> None:
    options = {"format": "json", "timestamps": True, "every": "1d", "compress": True}
    spec = make_spec(plugins=(announced(), PluginSpec("log-rotation", options)))
    async with Supervisor(spec, directories=directories) as supervisor:
        await supervisor.wait_ready(timeout=20)
    (path,) = directories.data.rglob("fake.log")
    assert any("listening on" in one["line"] and one["stream"] == "stdout" for one in records(path))


def test_a_span_that_is_too_short_is_refused() -> None:
    with pytest.raises(PluginError, match="every: expected a second or more"):
        build(PluginSpec("log-rotation", {"every": "10ms"}))


@pytest.fixture(autouse=True)
def umask() -> Iterator[None]:
    before = os.umask(0o022)
    yield
    os.umask(before)
