import fcntl
import json
import os
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import pytest
from hostler.errors import EnvironmentSetupFailed, ProcessAlreadyRunning
from hostler.process.disk.directories import Directories
from hostler.process.disk.lock import NameLock, lock_owner, lock_path

HOLDS = """
import sys
from pathlib import Path
from hostler.process.disk.directories import Directories
from hostler.process.disk.lock import NameLock
base = Path(sys.argv[1])
lock = NameLock.take(Directories(base / "s", base / "d", base / "c"), "here", "web")
print("taken", flush=True)
sys.stdin.read()
lock.release()
"""
RACES = """
import os, sys
from pathlib import Path
from hostler.errors import ProcessAlreadyRunning
from hostler.process.disk.directories import Directories
from hostler.process.disk.lock import NameLock
base = Path(sys.argv[1])
directories = Directories(base / "s", base / "d", base / "c")
taken = 0
sys.stdin.read()
while taken < 150:
    try:
        lock = NameLock.take(directories, "here", "web")
    except ProcessAlreadyRunning:
        continue
    inside = os.open(base / "inside", os.O_CREAT | os.O_EXCL)  # raises when the other is inside too
    os.unlink(base / "inside")
    os.close(inside)
    lock.release()
    taken += 1
"""


@pytest.fixture
def directories(tmp_path: Path) -> Directories:
    return Directories(tmp_path / "s", tmp_path / "d", tmp_path / "c")


@contextmanager
def other_supervisor(base: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Another process that holds the lock of "web" in "here"."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(base)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"taken\n"
        try:
            yield child
        finally:
            child.kill()


def test_a_second_supervisor_in_this_process_learns_that_it_is_this_process(
    directories: Directories,
) -> None:
    lock = NameLock.take(directories, "here", "web")
    with pytest.raises(ProcessAlreadyRunning, match=rf"web: .*this process \(pid {os.getpid()}\)") as caught:
        NameLock.take(directories, "here", "web")
    assert caught.value.context.details["pid"] == os.getpid()
    lock.release()
    NameLock.take(directories, "here", "web").release()


def test_other_names_and_other_namespaces_do_not_meet(directories: Directories) -> None:
    pairs = [("here", "web"), ("here", "db"), ("there", "web"), ("herew", "eb")]
    locks = [NameLock.take(directories, namespace, name) for namespace, name in pairs]
    assert len({lock.path for lock in locks}) == len(pairs)
    for lock in locks:
        lock.release()


def test_the_process_that_has_it_is_named(directories: Directories, tmp_path: Path) -> None:
    with other_supervisor(tmp_path) as child, pytest.raises(ProcessAlreadyRunning) as caught:
        NameLock.take(directories, "here", "web")
    assert f"another hostler (pid {child.pid})" in str(caught.value)


def test_a_lock_ends_with_a_holder_that_is_killed(directories: Directories, tmp_path: Path) -> None:
    with other_supervisor(tmp_path) as child:
        child.send_signal(signal.SIGKILL)
        child.wait(10)
        NameLock.take(directories, "here", "web").release()


def test_nothing_remains_after_the_release_which_may_be_repeated(directories: Directories) -> None:
    lock = NameLock.take(directories, "here", "web")
    assert lock.held
    assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600
    assert stat.S_IMODE(lock.path.parent.stat().st_mode) == 0o700
    lock.release()
    lock.release()
    assert not lock.held
    assert not list(lock.path.parent.iterdir())


def test_the_lock_is_private_under_any_umask_and_no_child_inherits_it(directories: Directories) -> None:
    before = os.umask(0o777)

    try:
        lock = NameLock.take(directories, "here", "web")
    finally:
        os.umask(before)

    assert stat.S_IMODE(lock.path.stat().st_mode) == 0o600
    seen = subprocess.run(
        ["ls", "-l", "/proc/self/fd" if Path("/proc/self/fd").exists() else "/dev/fd"],
        close_fds=False,
        capture_output=True,
        text=True,
        check=True,
    )
    assert lock.path.name not in seen.stdout
    lock.release()


def test_of_processes_that_race_for_one_lock_only_one_is_inside_at_a_time(tmp_path: Path) -> None:
    argv = [sys.executable, "-c", RACES, str(tmp_path)]
    racers = [subprocess.Popen(argv, stdin=subprocess.PIPE) for _ in range(3)]
    for racer in racers:
        assert racer.stdin is not None
        racer.stdin.close()
    assert [racer.wait(60) for racer in racers] == [0, 0, 0]
    assert not list((tmp_path / "s" / "runs").iterdir())


def test_whoever_waits_on_a_removed_file_gets_the_new_one(directories: Directories) -> None:
    first = NameLock.take(directories, "here", "web")
    old = os.open(first.path, os.O_RDWR)
    first.release()
    fcntl.flock(old, fcntl.LOCK_EX | fcntl.LOCK_NB)  # a lock on a file without a name locks nobody out
    second = NameLock.take(directories, "here", "web")
    os.close(old)

    with pytest.raises(ProcessAlreadyRunning):
        NameLock.take(directories, "here", "web")

    second.release()


def test_a_release_leaves_the_lock_of_a_successor_alone(directories: Directories) -> None:
    first = NameLock.take(directories, "here", "web")
    first.path.unlink()  # somebody tidied up the state directory
    second = NameLock.take(directories, "here", "web")
    first.release()
    assert second.path.exists()
    with pytest.raises(ProcessAlreadyRunning):
        NameLock.take(directories, "here", "web")
    second.release()


def test_a_child_that_was_forked_while_it_was_held_does_not_keep_it(
    directories: Directories, tmp_path: Path
) -> None:
    """It has all descriptors until it executes. The folder was moved and is back: the file is the same."""
    lock = NameLock.take(directories, "here", "web")
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(write)
        os.read(read, 1)
        os._exit(0)

    (tmp_path / "s").rename(tmp_path / "moved")
    lock.release()
    (tmp_path / "moved").rename(tmp_path / "s")

    try:
        NameLock.take(directories, "here", "web").release()
    finally:
        os.close(write)
        os.close(read)
        os.waitpid(child, 0)


def test_who_has_it_is_named_though_a_longer_name_stood_there(directories: Directories) -> None:
    lock = NameLock.take(directories, "here", "web")
    lock.release()
    lock.path.write_bytes(lock.path.name.encode() * 100)  # its owner was killed
    lock = NameLock.take(directories, "here", "web")
    with pytest.raises(ProcessAlreadyRunning) as caught:
        NameLock.take(directories, "here", "web")
    assert caught.value.context.details["pid"] == os.getpid()
    lock.release()


def test_a_planted_link_is_not_followed(directories: Directories, tmp_path: Path) -> None:
    lock = NameLock.take(directories, "here", "web")
    lock.release()
    (tmp_path / "precious").write_text("precious")
    lock.path.symlink_to(tmp_path / "precious")
    with pytest.raises(EnvironmentSetupFailed, match="cannot be taken"):
        NameLock.take(directories, "here", "web")
    assert (tmp_path / "precious").read_text() == "precious"


def test_a_lock_whose_file_says_nothing_is_still_a_lock(directories: Directories) -> None:
    lock = NameLock.take(directories, "here", "web")
    lock.path.write_bytes(b'{"pid": "torn')
    with pytest.raises(ProcessAlreadyRunning, match="another hostler") as caught:
        NameLock.take(directories, "here", "web")
    assert caught.value.context.details["pid"] is None
    lock.release()


def test_a_start_waits_for_a_sweep_instead_of_failing(directories: Directories) -> None:
    lock = NameLock.take(directories, "here", "web")
    lock.release()
    sweeping = NameLock.take_stale(lock.path)
    assert sweeping is not None
    timer = threading.Timer(0.3, sweeping.release)
    timer.start()
    lock = NameLock.take(directories, "here", "web")
    timer.join()
    assert lock.held
    lock.release()


def test_a_stale_lock_cannot_be_taken_from_one_who_lives(directories: Directories) -> None:
    lock = NameLock.take(directories, "here", "web")
    assert NameLock.take_stale(lock.path) is None
    assert NameLock.take_stale(lock.path.parent / "no" / "such.lock") is None
    lock.release()


def test_a_full_disk_does_not_keep_a_lock_from_being_taken(tmp_path: Path) -> None:
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("needs a mount")

    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k", "tmpfs", str(tmp_path)], check=True)

    try:
        directories = Directories(tmp_path / "s", tmp_path / "d", tmp_path / "c")
        lock = NameLock.take(directories, "here", "web")
        lock.release()
        with pytest.raises(OSError, match="No space"):
            (tmp_path / "full").write_bytes(bytes(65536))
        lock = NameLock.take(directories, "here", "web")
        with pytest.raises(ProcessAlreadyRunning, match=re.escape("another hostler")):
            NameLock.take(directories, "here", "web")
        lock.release()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


HELD_BY_PARENT = """
import sys
from pathlib import Path
from hostler.errors import ProcessAlreadyRunning
from hostler.process.disk.directories import Directories
from hostler.process.disk.lock import NameLock
base = Path(sys.argv[1])
try:
    NameLock.take(Directories(base / "s", base / "d", base / "c"), "here", "web")
except ProcessAlreadyRunning as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("worker", "told"),
    [
        ({}, ["run by the process that has started this one", "use_reloader=False", "namespace=..."]),
        ({"PYTEST_XDIST_WORKER": "gw1"}, ['namespace=os.environ["PYTEST_XDIST_WORKER"]']),
    ],
)
def test_a_reloader_and_workers_of_tests_get_advice(
    directories: Directories, tmp_path: Path, worker: dict[str, str], told: list[str]
) -> None:
    lock = NameLock.take(directories, "here", "web")
    environ = {name: value for name, value in os.environ.items() if name != "PYTEST_XDIST_WORKER"} | worker
    argv = [sys.executable, "-c", HELD_BY_PARENT, str(tmp_path)]
    done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=True)
    lock.release()
    assert [part for part in told if part not in done.stdout] == [], done.stdout


def test_a_lock_whose_writer_has_ended_is_nobodys_though_its_pid_is_anothers_now(
    directories: Directories, tmp_path: Path
) -> None:
    with other_supervisor(tmp_path) as child:
        owner = lock_owner(directories, "here", "web")
        assert owner is not None
        assert owner.pid == child.pid
        path = lock_path(directories, "here", "web")
        child.kill()
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
        assert lock_owner(directories, "here", "web") is None  # a zombie
        child.wait(10)
        assert lock_owner(directories, "here", "web") is None

        path.write_text(json.dumps(asdict(owner) | {"pid": os.getpid()}))  # as if we had got its pid
        assert lock_owner(directories, "here", "web") is None
