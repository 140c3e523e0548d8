"""Run records: what is on disk about a run, so that nothing of it is left after its supervisor was killed."""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from pathlib import Path
from typing import Self, TypeAlias

from msgspec import Struct
from msgspec.structs import replace

from hostler.errors import EnvironmentSetupFailed, ServerError
from hostler.process.disk.directories import Directories, secure_directory
from hostler.process.disk.files import append, found_folder, read_replaced, replace_file
from hostler.process.disk.lock import NameLock, lock_path, runs_folder
from hostler.process.disk.remove_tree import remove_inside
from hostler.process.shortage_hint import shortage_hint
from hostler.process.spawn.cgroups import remove_group
from hostler.process.tree.process_table import own_start_time


class RunRecord(Struct, frozen=True, kw_only=True):
    """One run as it stands on disk: begun before the spawn, completed (`msgspec.structs.replace`) after it.

    `argv` is already redacted. `written` is wall-clock time, for people. `start_time` and
    `supervisor_start` are in the system's own unit: they are only ever compared.
    """

    run_id: str
    namespace: str
    server: str
    argv: tuple[str, ...]
    temporary: tuple[Path, ...]
    supervisor_pid: int
    supervisor_start: float
    boot_id: str
    written: float
    pid: int | None = None
    start_time: float | None = None
    url: str | None = None
    cgroup: Path | None = None

    @classmethod
    def begin(
        cls,
        run_id: str,
        namespace: str,
        server: str,
        *,
        argv: Iterable[str],
        temporary: Iterable[Path] = (),
        cgroup: Path | None = None,
    ) -> Self:
        """The record of a run that this process is about to spawn."""
        return cls(
            run_id=run_id,
            namespace=namespace,
            server=server,
            argv=tuple(argv),
            temporary=tuple(temporary),
            supervisor_pid=os.getpid(),
            supervisor_start=own_start_time(),
            boot_id=boot_id(),
            written=time.time(),
            cgroup=cgroup,
        )


class Leftover(Struct, frozen=True):
    """What a dead supervisor left: its record, what was cleaned up, and why something was not."""

    record: RunRecord | None = None
    pids_killed: tuple[int, ...] = ()
    paths_removed: tuple[Path, ...] = ()
    problem: str = ""

    @property
    def anything(self) -> bool:
        """Whether there is something to report."""
        return self.record is not None or bool(self.problem)

    @property
    def text(self) -> str:
        """All of it as a sentence."""
        if self.record is None or (self.problem and not (self.pids_killed or self.paths_removed)):
            return f"what a killed hostler may have left is not cleaned up: {self.problem}"
        pids = ", ".join(map(str, self.pids_killed))
        done = f"cleaned up after a killed hostler; processes: {pids or 'none'}"
        return f"{done}; {self.problem}" if self.problem else done


_MOST_AMENDMENTS = 16  # lines; a run's record is amended twice: with its pid, and with its endpoint
_LARGEST = 32 * 1024
_OVER = b"\n{}\n"  # stands behind the record of a run that is over

Kill: TypeAlias = Callable[[RunRecord], Sequence[int]]


class RunStore:
    """The run records of one state directory; whoever writes, clears or recovers one holds its lock."""

    def __init__(self, directories: Directories) -> None:
        self._directories = directories

    def write(self, lock: NameLock, record: RunRecord) -> None:
        """Put `record` in the place of the one before, whole or not at all; else EnvironmentSetupFailed."""
        # Not synced: a record matters while the system stays up, and its boot id shows whether it did.
        with _explained(lock.record_path, record) as path:
            # Behind a run that is over: a respawn would wait for a new file, and where many were removed
            # lately, to make one takes ext4 up to 2 ms.
            with suppress(OSError):
                if append(path, b"\n" + _line(record), when=partial(_is_over, below=_LARGEST)):
                    return
            replace_file(str(path), _line(record), None, unfinished=str(_unfinished(path)))

    def amend(self, lock: NameLock, record: RunRecord) -> None:
        """Add what is known by now to the record of the same run; errors as in `write`."""
        # Not a new file (0.3 ms instead of 10 us): a respawn waits for it.
        with _explained(lock.record_path, record) as path:
            append(path, b"\n" + _line(record))  # a torn line before it stays one

    def end(self, lock: NameLock, *, last: bool = False) -> None:
        """Note that the run is over: its tree is gone. The file stays for the next run, until `forget`.

        That of the `last` run is removed.
        """
        try:
            if last:
                lock.record_path.unlink(missing_ok=True)
            else:
                append(lock.record_path, _OVER)
        except OSError:
            self.clear(lock)

    def forget(self, lock: NameLock) -> None:
        """Remove the file, unless the run in it is not over: then it tells what is left of that."""
        is_over = False
        with suppress(OSError), lock.record_path.open("rb") as file:
            is_over = _is_over(file.fileno())
        if is_over:
            lock.record_path.unlink(missing_ok=True)  # it is whole: none is half written beside it

    def clear(self, lock: NameLock) -> None:
        """Remove the file, and what is left of one that was being written."""
        for path in (lock.record_path, _unfinished(lock.record_path)):
            path.unlink(missing_ok=True)

    def is_clean(self, lock: NameLock) -> bool:
        """Whether nobody left a record under the lock that is now ours."""
        return not (lock.record_path.exists() or _unfinished(lock.record_path).exists())

    def leftover(self, lock: NameLock) -> Leftover:
        """The record that a dead supervisor left under the lock that is now ours."""
        return _leftover(lock.record_path)

    def recover(self, lock: NameLock, kill: Kill) -> Leftover:
        """End what a dead supervisor left under this lock: its processes, its temporary paths, its record.

        `kill` gets the record and answers with the pids that it killed; it is not asked about a run of
        another boot or machine. What it raises passes through, and the record stays for the next try.
        """
        leftover = self.leftover(lock)
        record = leftover.record
        if record is None:
            self.clear(lock)
            return leftover

        killed = tuple(kill(record)) if record.boot_id == boot_id() else ()
        removed, problems = self.remove_temporary(record.temporary)
        # Without the lock this came too late: there may be the record of another hostler by now.
        if lock.held:
            self.clear(lock)
        return Leftover(record, killed, tuple(removed), "; ".join(problems))

    def sweep(self, kill: Kill) -> list[Leftover]:
        """Recover every server of this state directory whose supervisor is dead, whatever its name.

        No ServerError and no OSError is raised: a `problem` has its text, and the record stays.
        """
        try:
            folder = secure_directory(runs_folder(self._directories))
            keys = {path.stem for path in folder.iterdir() if path.suffix in {".lock", ".json", ".tmp"}}
        except (ServerError, OSError) as error:
            return [Leftover(problem=str(error))]

        found = []
        for key in sorted(keys):
            lock = NameLock.take_stale(folder / f"{key}.lock")  # None where its supervisor lives
            if lock is None:
                continue
            try:
                found.append(self.recover(lock, kill))
            except (ServerError, OSError) as error:
                found.append(replace(self.leftover(lock), problem=str(error)))
            finally:
                lock.release()

        return [leftover for leftover in found if leftover.anything]

    def remove_temporary(self, paths: Iterable[Path]) -> tuple[list[Path], list[str]]:
        """Remove what is in temporary directories or hostler's own; which were, and why others were not."""
        removed, problems = [], []
        runs, roots = runs_folder(self._directories), self._roots()
        for path in paths:
            if path == runs or runs in path.parents or path in runs.parents:
                problems.append(f"{path} is left behind: hostler's own records are there")
                continue
            try:
                if remove_inside(path, roots):
                    removed.append(path)
            except EnvironmentSetupFailed as error:
                problems.append(error.message)

        return removed, problems

    def _roots(self) -> list[Path]:
        import tempfile  # noqa: PLC0415 - brings compression; few starts find what was left

        own = self._directories
        names = ["/tmp", "/var/tmp", os.environ.get("XDG_RUNTIME_DIR")]  # noqa: S108
        with suppress(FileNotFoundError):  # on a system that can only be read there is none
            names.append(tempfile.gettempdir())
        return [own.state, own.data, own.cache, *(Path(name) for name in names if name)]


def kill_recorded(record: RunRecord) -> tuple[int, ...]:
    """Kill the tree of a recorded run whose supervisor is dead; the pids that were killed."""
    from hostler.process.tree.terminate import kill_leftovers  # noqa: PLC0415 - brings asyncio

    killed = kill_leftovers(record.run_id, record.pid, record.start_time or 0, record.cgroup)
    if record.cgroup is not None:
        # Somebody may hang in it; an empty folder of a group holds nothing back.
        with suppress(OSError):
            remove_group(record.cgroup)
    return killed


@cache
def boot_id() -> str:
    """The identity of this boot of this machine."""
    with suppress(OSError):  # a sandbox may hide it, and macOS has none
        # Not "ascii", which it is: that codec is a module, and to import it takes ten times as long.
        return Path("/proc/sys/kernel/random/boot_id").read_text("utf-8").strip()
    import psutil  # noqa: PLC0415 - heavy

    return f"{psutil.boot_time():.0f}"


def recorded_run(directories: Directories, namespace: str, name: str) -> RunRecord | None:
    """The record of a server's present run, whoever supervises it; None where none can be read."""
    # Without the lock it may change at any moment; that is enough for those who only look.
    return _leftover(lock_path(directories, namespace, name).with_suffix(".json")).record


def _leftover(path: Path) -> Leftover:
    import msgspec  # noqa: PLC0415 - heavy

    try:
        with found_folder(path.parent) as folder:
            *before, last = read_replaced(path.name, folder, _unfinished(path).name).splitlines() or [b""]
    except FileNotFoundError:
        return Leftover()
    except OSError as error:
        return Leftover(problem=f"the run record {path} cannot be read: {error}")

    for line in (last, *reversed(before[-_MOST_AMENDMENTS:])):
        try:
            known = json.loads(line)
            if known == {}:
                return Leftover()
            return Leftover(msgspec.convert(known, RunRecord, dec_hook=lambda kind, value: kind(value)))
        except (ValueError, TypeError, RecursionError) as error:
            problem = f"the run record {path} cannot be read: {error}"

    return Leftover(problem=problem)


def _is_over(descriptor: int, *, below: float = math.inf) -> bool:
    """Whether it stands at the end of an open file, `below` a size, that the last run is over."""
    at = os.fstat(descriptor).st_size - len(_OVER)
    return 0 < at < below and os.pread(descriptor, len(_OVER), at) == _OVER


def _line(record: RunRecord) -> bytes:
    known = {
        name: getattr(record, name) for name in RunRecord.__struct_fields__
    }  # not asdict, which copies all
    return json.dumps(known, default=str).encode() + b"\n"


@contextmanager
def _explained(path: Path, record: RunRecord) -> Iterator[Path]:
    try:
        yield path
    except OSError as error:
        otherwise = "make room or repair the state directory: a killed run cannot be cleaned up without it"
        raise EnvironmentSetupFailed(
            f"the run record {path} cannot be written: {error.strerror}",
            server=record.server,
            hint=shortage_hint(error, otherwise),
        ) from error


def _unfinished(path: Path) -> Path:
    """Where a record stands until it is whole."""
    return path.with_suffix(".tmp")
