"""Log files and folders that are removed, replaced or emptied while a server writes."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hostler.process.output.capture import OutputReader
from hostler_plugins.log_rotation import file as file_module
from hostler_plugins.log_rotation.file import RotatedFile
from hostler_plugins.log_rotation.sink import LogFile
from log_files import log, path
from output_capture import (
    DEADLINE,
    Spawn,
    Troubles,
    open_capture,
    reader,
    spawned,
    until,
)

__all__ = ["log", "path", "reader", "spawned"]


def some_file(path: Path) -> Path:
    path.touch()
    return path


def files(path: Path) -> list[Path]:
    """The log's files, oldest first."""
    rotated = [one for one in path.parent.iterdir() if one.name.startswith(f"{path.name}.")]
    return [*sorted(rotated, key=lambda one: -int(one.suffix[1:])), path]


def whole(path: Path) -> bytes:
    return b"".join(one.read_bytes() for one in files(path))


def content(path: Path) -> bytes:
    return path.read_bytes()


def keep_writing(log: LogFile, until_this: Callable[[], object], data: bytes = b"more\n") -> int:
    """Write until something happens, within a deadline; returns how many writes failed."""
    deadline = time.monotonic() + DEADLINE
    failed = 0

    while not until_this():
        assert time.monotonic() < deadline
        try:
            log.write("stdout", data)
        except OSError:
            failed += 1
        time.sleep(0.001)

    return failed


def test_a_deleted_file_is_made_again_with_the_line_that_is_unfinished(
    log: Callable[..., LogFile], path: Path
) -> None:
    sink = log()
    sink.write("stdout", b"one\nbegin")
    path.unlink()

    assert keep_writing(sink, path.exists, b".") == 0
    sink.write("stdout", b" end\n")

    assert path.read_bytes().startswith(b"begin.")
    assert path.read_bytes().endswith(b". end\n")


async def test_a_deleted_folder_is_made_again_while_the_child_goes_on(
    reader: OutputReader, spawned: Spawn, log: Callable[..., LogFile], path: Path
) -> None:
    troubles = Troubles()
    capture = open_capture(reader, log(max_size=5000), reported=troubles)
    process = spawned(capture, "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.005; done")
    await until(lambda: path.exists() and path.stat().st_size)

    shutil.rmtree(path.parent)

    await until(lambda: path.exists() and content(path).count(b"\n") > 3)
    assert process.poll() is None
    assert all(line.startswith(b"line ") for line in content(path).splitlines()[:-1])
    assert not troubles
    process.kill()
    await capture.close()


async def test_a_folder_that_cannot_be_used_is_said_counted_and_left_again(
    reader: OutputReader, spawned: Spawn, log: Callable[..., LogFile], path: Path
) -> None:
    troubles = Troubles()
    capture = open_capture(reader, log(), reported=troubles)
    process = spawned(capture, "n=0; while :; do n=$((n+1)); echo line $n; sleep 0.005; done")
    await until(lambda: path.stat().st_size)

    shutil.rmtree(path.parent)
    path.parent.write_text("in the way")
    await until(lambda: troubles.topics == ["sink_failed"])
    path.parent.unlink()
    await until(lambda: troubles.topics == ["sink_failed", "sink_recovered"])

    assert process.poll() is None
    dropped = int(str(troubles[1][2]["bytes"]))
    assert dropped > 0
    assert content(path).startswith(b"[hostler: %d bytes dropped: " % dropped)
    process.kill()
    await capture.close()


def test_a_folder_that_is_gone_for_long_costs_what_comes_meanwhile_and_no_more(
    log: Callable[..., LogFile], path: Path
) -> None:
    sink = log()
    shutil.rmtree(path.parent)
    path.parent.write_text("in the way")
    failed = 0
    while failed < 3:
        try:
            sink.write("stdout", b"12345678\n")
        except OSError:
            failed += 1

    path.parent.unlink()
    sink.write("stdout", b"again\n")
    assert content(path) == b"[hostler: 27 bytes dropped: Not a directory]\nagain\n"


def test_a_file_that_cannot_be_looked_at_is_written_to_all_the_same(
    log: Callable[..., LogFile], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sink = log(max_size=100)
    hidden = path.parent.rename(path.parent.with_name("hidden")) / path.name
    path.parent.symlink_to(path.parent)

    keep_writing(sink, lambda: hidden.stat().st_size > 10, b"more\n")
    monkeypatch.setattr(file_module, "_LOOK_AFTER", 0.0)  # half a second later
    sink.write("stdout", b"last\n")

    assert content(hidden).endswith(b"more\nlast\n")


def test_a_folder_that_is_removed_while_the_file_is_opened_is_made_again(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_in = file_module._opened

    def too_late(path: Path, folder: int) -> int:  # nothing real hits the moment between folder and file
        monkeypatch.setattr(file_module, "_opened", open_in)
        shutil.rmtree(path.parent)
        return open_in(path, folder)

    monkeypatch.setattr(file_module, "_opened", too_late)
    file = RotatedFile(path, keep=2)
    file.open()
    file.write(b"line\n", 5)
    file.close()
    assert path.read_text() == "line\n"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be several users")
def test_a_rotation_leads_nowhere_where_its_folder_was_swapped_for_a_link(path: Path, tmp_path: Path) -> None:
    file = RotatedFile(path, keep=2)
    file.open()
    file.write(b"x\n", 2)
    hidden = path.parent.rename(tmp_path / "hidden")
    target = tmp_path / "target"
    target.mkdir()
    path.parent.symlink_to(target)
    os.lchown(path.parent, 2002, 2002)

    with pytest.raises(OSError, match=f"{path.parent}: it is a symbolic link that user 2002 made"):
        file.rotate()

    assert list(target.iterdir()) == []
    assert [one.name for one in hidden.iterdir()] == ["web.log.1"]


def test_a_file_that_somebody_empties_goes_on_from_its_beginning(
    log: Callable[..., LogFile], path: Path
) -> None:
    sink = log(max_size=10_000)
    sink.write("stdout", b"x" * 8000 + b"\nunfinished")
    os.truncate(path, 0)

    keep_writing(sink, lambda: path.stat().st_size > 5000, b"line\n")

    assert len(files(path)) == 1
    assert set(path.read_bytes().splitlines()) <= {b"line", b"unfinishedline"}
    sink.write("stdout", b"begin")
    os.truncate(path, 0)
    keep_writing(sink, lambda: path.read_bytes().count(b"begin") == 1, b".")


@pytest.mark.parametrize("remove", [Path.unlink, lambda path: shutil.rmtree(path.parent)])
def test_the_line_right_after_the_removal_of_the_file_or_its_folder_is_in_the_new_file(
    log: Callable[..., LogFile], path: Path, remove: Callable[[Path], object]
) -> None:
    sink = log()
    sink.write("stdout", b"before\n")
    remove(path)
    sink.write("stdout", b"after\n")

    assert content(path) == b"after\n"


def blocked(path: Path) -> Path:
    path.mkdir()
    (path / "full").touch()
    return path


@pytest.mark.parametrize("number", [1, 2, 3, 4])
@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_a_folder_with_the_name_of_a_rotated_file_is_passed_over_and_costs_no_line(
    log: Callable[..., LogFile], path: Path, number: int, suffix: str
) -> None:
    sink = log(max_size=10, keep=3)
    sink.write("stdout", b"1st\n2nd\n")
    folder = blocked(path.with_name(f"web.log.{number}{suffix}"))
    for line in (b"third\n", b"fourth\n", b"fifth\n", b"sixth\n"):
        sink.write("stdout", line)
    (folder / "full").unlink()
    folder.rmdir()
    assert whole(path) == b"third\nfourth\nfifth\nsixth\n"


@pytest.fixture
def pinned(path: Path, tmp_path: Path) -> Iterator[Callable[[], None]]:
    """Something is mounted at the name web.log.1, which no file can take then, until this is called."""
    path.parent.mkdir()
    source, target = some_file(tmp_path / "source"), some_file(path.with_name("web.log.1"))
    mounted = subprocess.run(["mount", "--bind", source, target], capture_output=True, check=False)
    if mounted.returncode:
        pytest.skip(f"a file cannot be mounted here: {mounted.stderr.decode().strip()}")
    with contextlib.ExitStack() as pin:
        pin.callback(lambda: subprocess.run(["umount", target], check=True))
        yield pin.close


def test_a_file_that_cannot_be_renamed_grows_on_and_that_is_told_once(
    pinned: Callable[[], None], path: Path
) -> None:
    told: list[OSError] = []
    sink = LogFile(path, max_size=100, keep=2, stays=told.append)
    sink.open()
    keep_writing(sink, lambda: path.stat().st_size > 1000)
    sink.write("stderr", b"torn")
    sink.write("stdout", b"last\n")
    assert content(path) == b"more\n" * 201 + b"last\ntorn"

    pinned()
    keep_writing(sink, lambda: path.stat().st_size < 100, b"end\n")
    sink.close()
    assert path.with_name("web.log.1").read_bytes().startswith(b"more\n" * 201 + b"last\nend\n")
    assert content(path).endswith(b"torn"), "what was not ended goes on in the new file"
    assert [error.strerror for error in told] == ["Device or resource busy"]


def test_where_a_file_was_moved_to_nothing_is_rotated_when_its_time_is_over(
    log: Callable[..., LogFile], path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "_LOOK_AFTER", 60.0)  # it was moved right after a look
    sink = log(every=1.0)
    begun = time.time()
    sink.write("stdout", b"before\n")
    kept = tmp_path / "kept"
    kept.mkdir()
    kept.joinpath("web.log.1").write_text("another\n")
    path.rename(kept / "web.log")
    while int(time.time()) == int(begun):
        time.sleep(0.01)
    sink.write("stdout", b"after\n")

    assert {one.name: one.read_text() for one in kept.iterdir()} == {
        "web.log": "before\n",
        "web.log.1": "another\n",
    }
    assert content(path) == b"after\n"
