import json
import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from hostler.errors import EnvironmentSetupFailed, ForceKillTimeout
from hostler.process.disk.directories import Directories
from hostler.process.disk.lock import NameLock
from hostler.process.disk.run_record import Leftover, RunRecord, RunStore, boot_id
from msgspec.structs import replace
from namespaces import unshared

DIES = """
import os, signal, subprocess, sys
from msgspec.structs import replace
from pathlib import Path
from hostler.process.disk.directories import Directories
from hostler.process.disk.lock import NameLock
from hostler.process.disk.run_record import RunRecord, RunStore
from hostler.process.tree.process_table import start_time
base = Path(sys.argv[1])
directories = Directories(base / "s", base / "d", base / "c")
store = RunStore(directories)
lock = NameLock.take(directories, "here", sys.argv[2])
scratch = base / "c" / sys.argv[2]
scratch.mkdir(parents=True)
name = sys.argv[2]
record = RunRecord.begin("run-" + name, "here", name, argv=["sleep", "600"], temporary=[scratch])
store.write(lock, record)
child = subprocess.Popen(["sleep", "600"], start_new_session=True)
store.write(lock, replace(record, pid=child.pid, start_time=start_time(child.pid)))
os.kill(os.getpid(), signal.SIGKILL)
"""
STORM = """
import sys
from msgspec.structs import replace
from pathlib import Path
from hostler.process.disk.directories import Directories
from hostler.process.disk.lock import NameLock
from hostler.process.disk.run_record import RunRecord, RunStore
base = Path(sys.argv[1])
directories = Directories(base / "s", base / "d", base / "c")
lock = NameLock.take(directories, "here", "web")
record = RunRecord.begin("run", "here", "web", argv=["x" * 5000])
store = RunStore(directories)
store.write(lock, record)
print("going", flush=True)
for pid in range(1, 10**9):
    store.write(lock, replace(record, pid=pid, url="u" * (pid % 3000)))
"""


@pytest.fixture
def directories(tmp_path: Path) -> Directories:
    return Directories(tmp_path / "s", tmp_path / "d", tmp_path / "c")


@pytest.fixture
def store(directories: Directories) -> RunStore:
    return RunStore(directories)


def a_record(server: str = "web", temporary: Sequence[Path] = ()) -> RunRecord:
    return RunRecord.begin("run-1", "here", server, argv=["serve", "--port", "1"], temporary=temporary)


def no_kill(record: RunRecord) -> list[int]:
    raise AssertionError(f"{record} must not be killed")


def killed_by(calls: list[RunRecord]) -> Callable[[RunRecord], list[int]]:
    def kill(record: RunRecord) -> list[int]:
        calls.append(record)
        return [4711]

    return kill


def supervisor_that_dies(base: Path, server: str) -> None:
    """Run a supervisor that leaves a child, a record and a temporary directory, and is killed."""
    done = subprocess.run([sys.executable, "-c", DIES, str(base), server], check=False, timeout=30)
    assert done.returncode == -signal.SIGKILL


def end(record: RunRecord) -> list[int]:
    assert record.pid is not None
    os.kill(record.pid, signal.SIGKILL)
    return [record.pid]


def test_a_record_comes_back_as_it_was_written_and_is_private(
    directories: Directories, store: RunStore
) -> None:
    lock = NameLock.take(directories, "here", "web")
    written = replace(
        a_record(temporary=[Path("/tmp/a"), Path("/tmp/\udcff")]),
        pid=7,
        start_time=12.0,
        url="http://[::1]:80",
    )
    before = os.umask(0o777)

    try:
        store.write(lock, a_record())
        store.write(lock, written)
    finally:
        os.umask(before)

    assert store.leftover(lock).record == written
    assert stat.S_IMODE(lock.record_path.stat().st_mode) == 0o600
    store.clear(lock)
    assert store.leftover(lock).record is None
    assert list(lock.path.parent.iterdir()) == [lock.path]
    lock.release()


def test_what_is_added_to_a_record_counts_and_a_torn_addition_does_not(
    directories: Directories, store: RunStore
) -> None:
    lock = NameLock.take(directories, "here", "web")
    record = a_record()
    store.write(lock, record)
    store.amend(lock, replace(record, pid=7))
    assert store.leftover(lock).record == replace(record, pid=7)
    whole = lock.record_path.read_bytes()

    for cut in range(1, 40):
        lock.record_path.write_bytes(whole[:-cut])
        leftover = store.leftover(lock)
        assert leftover.record in {record, replace(record, pid=7)}
        assert leftover.problem == ""

    store.amend(lock, replace(record, pid=8, url="http://127.0.0.1:1"))
    assert store.leftover(lock).record == replace(record, pid=8, url="http://127.0.0.1:1")
    store.clear(lock)

    with pytest.raises(EnvironmentSetupFailed, match="cannot be written"):
        store.amend(lock, record)

    lock.release()


def test_the_runs_of_one_server_share_a_file_that_does_not_grow_for_ever(
    directories: Directories, store: RunStore
) -> None:
    lock = NameLock.take(directories, "here", "web")
    files, largest = set(), 0

    for number in range(200):
        record = replace(a_record(), run_id=f"run-{number}")
        store.write(lock, record)
        store.amend(lock, replace(record, pid=7))
        assert store.leftover(lock).record == replace(record, pid=7)
        store.forget(lock)  # not yet
        store.end(lock)
        assert store.leftover(lock) == Leftover()
        files.add(lock.record_path.stat().st_ino)
        largest = max(largest, lock.record_path.stat().st_size)

    assert len(files) < 20
    assert largest < 40_000
    store.forget(lock)
    assert list(lock.path.parent.iterdir()) == [lock.path]
    lock.release()


def test_where_it_cannot_be_noted_that_a_run_is_over_its_record_goes(
    directories: Directories, store: RunStore
) -> None:
    lock = NameLock.take(directories, "here", "web")
    store.write(lock, a_record())
    lock.record_path.rename(lock.record_path.with_suffix(".tmp"))  # it is being replaced
    store.end(lock)
    assert store.is_clean(lock)
    lock.release()


def test_a_record_says_who_wrote_it_and_in_which_boot() -> None:
    record = a_record()
    assert record.supervisor_pid == os.getpid()
    assert record.supervisor_start > 0
    assert record.boot_id == boot_id() != ""


def test_whenever_the_writer_is_killed_a_whole_record_is_found(tmp_path: Path, store: RunStore) -> None:
    directories = Directories(tmp_path / "s", tmp_path / "d", tmp_path / "c")

    for _ in range(8):
        with subprocess.Popen([sys.executable, "-c", STORM, str(tmp_path)], stdout=subprocess.PIPE) as child:
            assert child.stdout is not None
            assert child.stdout.readline() == b"going\n"
            child.kill()
        lock = NameLock.take(directories, "here", "web")
        leftover = store.leftover(lock)
        assert leftover.problem == ""
        assert leftover.record is not None
        store.clear(lock)
        lock.release()


def test_a_record_between_its_two_names_is_found(directories: Directories, store: RunStore) -> None:
    lock = NameLock.take(directories, "here", "web")
    store.write(lock, a_record())
    lock.record_path.rename(lock.record_path.with_suffix(".tmp"))
    assert store.leftover(lock).record is not None
    assert not store.is_clean(lock)
    store.clear(lock)
    assert store.is_clean(lock)
    lock.release()


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"run_id": "x", "ser',
        b"[]",
        b'"text"',
        b"\xff\xfe",
        b'{"run_id": 7}',
        b"[" * 100_000,
        json.dumps({"pid": "seven"}).encode(),
    ],
)
def test_a_torn_or_foreign_record_is_reported_and_forgotten_never_raised(
    directories: Directories, store: RunStore, text: bytes
) -> None:
    lock = NameLock.take(directories, "here", "web")
    lock.record_path.write_bytes(text)
    recovered = store.recover(lock, no_kill)
    assert recovered.record is None
    assert "cannot be read" in recovered.problem
    assert not lock.record_path.exists()
    lock.release()


def test_a_record_of_a_later_version_is_understood(directories: Directories, store: RunStore) -> None:
    lock = NameLock.take(directories, "here", "web")
    store.write(lock, a_record())
    text = json.loads(lock.record_path.read_bytes()) | {"invented_later": [1]}
    lock.record_path.write_text(json.dumps(text))
    assert store.leftover(lock).record is not None
    lock.release()


def test_where_nothing_was_left_nothing_is_reported(directories: Directories, store: RunStore) -> None:
    lock = NameLock.take(directories, "here", "web")
    recovered = store.recover(lock, no_kill)
    assert recovered == Leftover()
    assert not recovered.anything
    lock.release()


def test_the_leftovers_of_a_killed_supervisor_are_ended_at_the_next_start(
    tmp_path: Path, directories: Directories, store: RunStore
) -> None:
    supervisor_that_dies(tmp_path, "web")
    lock = NameLock.take(directories, "here", "web")
    recovered = store.recover(lock, end)
    assert recovered.record is not None
    assert recovered.record.server == "web"
    assert recovered.pids_killed == (recovered.record.pid,)
    assert recovered.paths_removed == (tmp_path / "c" / "web",)
    assert recovered.problem == ""
    assert not (tmp_path / "c" / "web").exists()
    assert store.recover(lock, no_kill) == Leftover()
    lock.release()


def test_a_sweep_ends_all_leftovers_and_leaves_living_supervisors_alone(
    tmp_path: Path, directories: Directories, store: RunStore
) -> None:
    for server in ("one", "two"):
        supervisor_that_dies(tmp_path, server)

    living = NameLock.take(directories, "here", "living")
    store.write(living, a_record("living"))
    swept = store.sweep(end)
    assert sorted(found.record.server for found in swept if found.record) == ["one", "two"]
    assert all(found.pids_killed and found.paths_removed for found in swept)
    assert store.leftover(living).record is not None
    assert sorted(living.path.parent.iterdir()) == sorted([living.path, living.record_path])
    assert store.sweep(no_kill) == []
    living.release()


def test_a_clean_up_that_is_late_forgets_no_run_of_who_has_the_lock_by_then(
    directories: Directories, store: RunStore
) -> None:
    former = NameLock.take(directories, "here", "web")
    store.write(former, a_record())
    later: list[NameLock] = []

    def kill(_: RunRecord) -> list[int]:
        former.release()  # its start was stopped meanwhile, or took too long
        later.append(NameLock.take(directories, "here", "web"))
        store.write(later[0], replace(a_record(), run_id="run-2"))
        return []

    store.recover(former, kill)
    found = store.leftover(later[0]).record
    assert found is not None
    assert found.run_id == "run-2"
    store.clear(later[0])
    later[0].release()


def test_a_sweep_of_a_new_machine_finds_nothing(store: RunStore) -> None:
    assert store.sweep(no_kill) == []


def test_a_lock_that_a_killed_supervisor_left_without_a_record_is_removed_in_silence(
    directories: Directories, store: RunStore
) -> None:
    lock = NameLock.take(directories, "here", "web")
    text = lock.path.read_bytes()
    lock.release()
    lock.path.write_bytes(text)
    assert store.sweep(no_kill) == []
    assert not lock.path.exists()


def test_a_path_that_is_gone_already_is_no_problem(store: RunStore, tmp_path: Path) -> None:
    assert store.remove_temporary([tmp_path / "c" / "gone"]) == ([], [])


def test_a_sweep_that_cannot_look_reports_it_and_raises_nothing(
    directories: Directories, store: RunStore
) -> None:
    directories.state.write_text("a file where the directory should be")
    [swept] = store.sweep(no_kill)
    assert "cannot be used" in swept.problem


def test_a_tree_that_cannot_be_killed_keeps_its_record_and_does_not_end_the_sweep(
    directories: Directories, store: RunStore, tmp_path: Path
) -> None:
    for server in ("one", "two"):
        lock = NameLock.take(directories, "here", server)
        scratch = tmp_path / "c" / server
        scratch.mkdir(parents=True)
        store.write(lock, a_record(server, [scratch]))
        lock.release()

    def kill(record: RunRecord) -> list[int]:
        if record.server == "one":
            raise ForceKillTimeout("pid 4711 does not die")
        return []

    swept = {found.record.server: found for found in store.sweep(kill) if found.record}
    assert "does not die" in swept["one"].problem
    assert swept["two"].problem == ""
    assert (tmp_path / "c" / "one").exists()
    assert not (tmp_path / "c" / "two").exists()

    lock = NameLock.take(directories, "here", "one")

    with pytest.raises(ForceKillTimeout):
        store.recover(lock, kill)

    assert store.leftover(lock).record is not None
    lock.release()


def test_of_another_boot_only_the_paths_are_removed(
    directories: Directories, store: RunStore, tmp_path: Path
) -> None:
    scratch = tmp_path / "c" / "scratch"
    scratch.mkdir(parents=True)
    lock = NameLock.take(directories, "here", "web")
    store.write(lock, replace(a_record(temporary=[scratch]), pid=os.getpid(), boot_id="another"))
    recovered = store.recover(lock, no_kill)
    assert recovered.pids_killed == ()
    assert recovered.paths_removed == (scratch,)
    assert not scratch.exists()
    lock.release()


def test_a_run_that_was_killed_before_its_pid_was_written_is_still_asked_for(
    directories: Directories, store: RunStore
) -> None:
    lock = NameLock.take(directories, "here", "web")
    store.write(lock, a_record())
    calls: list[RunRecord] = []
    assert store.recover(lock, killed_by(calls)).pids_killed == (4711,)
    assert [(call.run_id, call.pid) for call in calls] == [("run-1", None)]
    lock.release()


@pytest.fixture
def elsewhere() -> Iterator[Path]:
    """A new folder that is in no temporary directory, wherever HOME and this checkout are."""
    temporary = [Path(os.path.realpath(one)) for one in ("/tmp", "/var/tmp", tempfile.gettempdir())]
    for place in (Path.home(), Path(__file__).parent, Path("/dev/shm")):
        real = Path(os.path.realpath(place))
        if os.access(real, os.W_OK) and not any(one in (real, *real.parents) for one in temporary):
            with tempfile.TemporaryDirectory(dir=real, prefix=".hostler-test-") as folder:
                yield Path(folder)
            return
    pytest.skip("every folder that can be written is a temporary one")


def test_paths_elsewhere_are_left_and_reported(
    directories: Directories, store: RunStore, tmp_path: Path, elsewhere: Path
) -> None:
    theirs = elsewhere / "theirs"
    theirs.touch()
    ours = tmp_path / "c" / "ours"
    ours.parent.mkdir()
    ours.touch()
    lock = NameLock.take(directories, "here", "web")
    store.write(lock, a_record(temporary=[theirs, Path("relative"), ours]))
    recovered = store.recover(lock, killed_by([]))
    assert recovered.paths_removed == (ours,)
    assert f"{theirs} is left behind" in recovered.problem
    assert "relative is left behind" in recovered.problem
    assert theirs.exists()
    lock.release()


def test_the_records_themselves_cannot_be_named_as_temporary(
    directories: Directories, store: RunStore
) -> None:
    lock = NameLock.take(directories, "here", "web")
    paths = [lock.path, lock.path.parent, directories.state]
    removed, problems = store.remove_temporary(paths)
    assert removed == []
    assert len(problems) == len(paths)
    assert lock.path.exists()
    lock.release()


def test_without_a_directory_for_temporary_files_what_hostler_owns_is_removed(
    directories: Directories, store: RunStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tempfile.tempdir", None)
    monkeypatch.setattr("tempfile._candidate_tempdir_list", list)
    scratch = directories.data / "scratch"
    scratch.mkdir(parents=True)
    assert store.remove_temporary([scratch]) == ([scratch], [])


def test_sockets_in_the_runtime_directory_are_removed_too(
    store: RunStore, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    socket = elsewhere / "socket"
    socket.touch()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(elsewhere))
    assert store.remove_temporary([socket]) == ([socket], [])


def test_a_planted_link_in_the_place_of_a_record_is_replaced_and_not_followed(
    directories: Directories, store: RunStore, tmp_path: Path
) -> None:
    precious = tmp_path / "precious"
    precious.write_text("precious")
    lock = NameLock.take(directories, "here", "web")
    lock.record_path.symlink_to(precious)
    lock.record_path.with_suffix(".tmp").symlink_to(precious)
    store.write(lock, a_record())
    assert precious.read_text() == "precious"
    assert not lock.record_path.is_symlink()
    lock.release()


def test_a_full_disk_is_reported_and_keeps_the_former_record(tmp_path: Path) -> None:
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("needs a mount")

    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(tmp_path)], check=True)

    try:
        directories = Directories(tmp_path / "s", tmp_path / "d", tmp_path / "c")
        store = RunStore(directories)
        lock = NameLock.take(directories, "here", "web")
        store.write(lock, a_record())
        with pytest.raises(OSError, match="No space"):
            (tmp_path / "full").write_bytes(bytes(65536))
        with pytest.raises(EnvironmentSetupFailed, match="No space left") as caught:
            store.write(lock, replace(a_record(), pid=7))
        assert caught.value.context.server == "web"
        leftover = store.leftover(lock)
        assert leftover.record is not None
        assert leftover.record.pid is None
        lock.release()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_where_the_boot_id_is_hidden_the_time_of_the_boot_stands_in() -> None:
    if os.geteuid() != 0 or sys.platform != "linux":
        pytest.skip("needs a mount namespace")
    code = "from hostler.process.disk.run_record import boot_id; print(boot_id(), boot_id())"
    hide = 'mount -t tmpfs tmpfs /proc/sys/kernel/random && exec "$@"'
    done = unshared(["--mount", "sh", "-c", hide, "sh", sys.executable, "-c", code])
    first, second = done.stdout.split()
    assert first == second
    assert int(first) > 0
