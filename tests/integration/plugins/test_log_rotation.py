"""The log file: rotation that loses and tears nothing, disks that fill up, folders that vanish."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from hostler import Launch, LogFileCreationFailed, ServerSpec, ServerView, Size
from hostler.process.output.capture import OutputReader
from hostler_plugins.log_rotation import LogRotation
from hostler_plugins.log_rotation import file as file_module
from hostler_plugins.log_rotation.file import RotatedFile
from hostler_plugins.log_rotation.sink import LONGEST, LogFile
from hypothesis import given
from hypothesis import strategies as st
from output_capture import DEADLINE, Spawn, Troubles, captured_children, open_capture, running_reader, until


@pytest.fixture
def reader() -> Iterator[OutputReader]:
    with running_reader() as reader:
        yield reader


@pytest.fixture
def spawned() -> Iterator[Spawn]:
    with captured_children() as spawn:
        yield spawn


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "logs" / "web.log"


@pytest.fixture
def log(path: Path) -> Iterator[Callable[..., LogFile]]:
    """Opens log files, and closes them at the end."""
    logs: list[LogFile] = []

    def make(path: Path = path, **options: Any) -> LogFile:
        values: dict[str, Any] = {"max_size": 10_000_000, "keep": 5, "timestamps": False}
        logs.append(LogFile(path, **(values | options)))
        logs[-1].open()
        return logs[-1]

    yield make

    for one in logs:
        with contextlib.suppress(OSError):
            one.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real disk of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "none", str(folder)]
    mounted = subprocess.run(command, capture_output=True, check=False)

    if mounted.returncode:
        pytest.skip(f"a disk cannot be mounted here: {mounted.stderr.decode().strip()}")

    yield folder
    subprocess.run(["umount", "--lazy", folder], check=True)  # the log is closed a moment later


def some_file(path: Path) -> Path:
    path.touch()
    return path


def launch(folder: Path) -> Launch:
    return Launch(
        server="web",
        generation=1,
        argv=["true"],
        cwd=folder,
        env={},
        host="127.0.0.1",
        port=None,
        data_dir=folder,
        cache_dir=folder,
    )


SERVER = cast("ServerView", SimpleNamespace(name="web"))


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


async def test_the_file_is_named_after_the_server_and_private_whatever_the_umask(tmp_path: Path) -> None:
    data_dir = tmp_path / "data"
    edited = launch(data_dir)
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
    edited = launch(tmp_path)

    await LogRotation(path=Path("deep/er/out.txt")).pre_spawn(SERVER, edited)

    assert (tmp_path / "deep" / "er" / "out.txt").exists()
    edited.sinks[0].close()


async def test_a_run_that_fails_before_the_first_output_lets_go_of_the_file(
    tmp_path: Path, log: Callable[..., LogFile]
) -> None:
    edited = launch(tmp_path)
    await LogRotation().pre_spawn(SERVER, edited)

    for cleanup in edited.cleanups:
        cleanup()

    log(tmp_path / "web.log").close()


async def test_the_clean_up_of_a_run_leaves_a_file_alone_that_the_pump_uses(tmp_path: Path) -> None:
    edited = launch(tmp_path)
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
        (os.mkfifo, "it is no regular file"),
        (lambda path: path.hardlink_to(some_file(path.with_name("ours"))), "it has a second name"),
    ],
    ids=["folder", "symlink", "fifo", "hard link"],
)
async def test_a_file_that_cannot_be_written_fails_before_the_start(
    tmp_path: Path, prepare: Callable[[Path], object], reason: str
) -> None:
    prepare(tmp_path / "web.log")
    edited = launch(tmp_path)

    with pytest.raises(LogFileCreationFailed, match=reason) as failure:
        await LogRotation().pre_spawn(SERVER, edited)

    assert "web.log" in failure.value.message
    assert failure.value.context.hint
    assert failure.value.context.server == "web"
    assert not edited.sinks
    [told] = LogRotation().check(ServerSpec(name="web"), launch(tmp_path))  # a look finds it too
    assert "web.log cannot be written: it " in told


async def test_a_folder_that_is_a_file_fails_before_the_start(tmp_path: Path) -> None:
    (tmp_path / "logs").write_text("")

    with pytest.raises(LogFileCreationFailed, match="Not a directory|File exists"):
        await LogRotation(path=Path("logs/web.log")).pre_spawn(SERVER, launch(tmp_path))


async def test_a_second_server_that_writes_the_same_file_is_refused(tmp_path: Path) -> None:
    first = launch(tmp_path)
    await LogRotation().pre_spawn(SERVER, first)

    with pytest.raises(LogFileCreationFailed, match="another server of this hostler writes to it") as caught:
        await LogRotation().pre_spawn(SERVER, launch(tmp_path))

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
            await LogRotation().pre_spawn(SERVER, launch(tmp_path))

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
    log: Callable[..., LogFile], path: Path
) -> None:
    sink = log(max_size=100)
    hidden = path.parent.rename(path.parent.with_name("hidden")) / path.name
    path.parent.symlink_to(path.parent)

    keep_writing(sink, lambda: hidden.stat().st_size > 10, b"more\n")
    time.sleep(0.6)  # it looks twice a second
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
