"""The lock that keeps two supervisors from running one server twice."""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Self

from hostler.errors import EnvironmentSetupFailed, ProcessAlreadyRunning
from hostler.files.digest import hex_digest
from hostler.model.dataclass import dataclass, field_names
from hostler.process.disk.directories import Directories, secure_directory
from hostler.process.disk.files import found_folder, read_small
from hostler.process.shortage_hint import shortage_hint
from hostler.process.tree.process_table import is_alive, own_start_time

# A sweep holds the locks of dead supervisors while it cleans up after them: that is worth waiting for.
_CLEANUP_TIMEOUT = 10.0
_UNNAMED_OWNER_TIMEOUT = 0.2
RETRY_INTERVAL = 0.005
"""Seconds between two attempts."""

_FLAGS = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Owner:
    """Who holds a lock, as it stands in the lock's file; for messages only, never to decide anything."""

    pid: int
    start_time: float
    namespace: str
    server: str
    sweeps: bool = False


class NameLock:
    """One server's lock, held from `take` (or `take_stale`) to `release`, or to the death of this process.

    The record of the run that it guards is at `record_path`.
    """

    def __init__(self, path: Path, descriptor: int) -> None:
        self.path = path
        self.record_path = path.with_suffix(".json")
        self._descriptor: int | None = descriptor

    @classmethod
    def take(cls, directories: Directories, namespace: str, name: str) -> Self:
        """Lock the server `name` of `namespace` for this process, and write the owner into the lock's file.

        ProcessAlreadyRunning names the process that has it, in this process or another;
        EnvironmentSetupFailed when the lock cannot be made at all.
        """
        attempts = cls.attempts(directories, namespace, name)
        while (lock := next(attempts)) is None:
            time.sleep(RETRY_INTERVAL)
        return lock

    @classmethod
    def attempts(
        cls,
        directories: Directories,
        namespace: str,
        name: str,
        secure: Callable[[Path], Path] = secure_directory,
    ) -> Iterator[Self | None]:
        """Try as `take` does, at each step: None while somebody cleans up there, then the lock.

        For those who must not block: rest `RETRY_INTERVAL` seconds between the steps. `secure` does as
        `secure_directory` for the folder of the locks.
        """
        secure(runs_folder(directories))
        path = lock_path(directories, namespace, name).absolute()
        owner = Owner(os.getpid(), own_start_time(), namespace, name)
        begun = time.monotonic()
        try:
            while (lock := cls._try(path, owner)) is None:
                holder, waited = _read_owner(path), time.monotonic() - begun
                timeout = _CLEANUP_TIMEOUT if holder and holder.sweeps else _UNNAMED_OWNER_TIMEOUT
                if (holder and not holder.sweeps) or waited > timeout:
                    raise _already_running(path, name, holder)
                yield None
        except OSError as error:
            otherwise = "make sure that the state directory is yours, on a file system with locks"
            raise EnvironmentSetupFailed(
                f"the lock {path} cannot be taken: {error.strerror}",
                server=name,
                hint=shortage_hint(error, otherwise),
            ) from error
        yield lock

    @classmethod
    def take_stale(cls, path: Path) -> Self | None:
        """Take the lock in the file `path` to clean up behind a dead supervisor; None where that fails."""
        with suppress(OSError):
            return cls._try(path, Owner(os.getpid(), own_start_time(), "", "", sweeps=True))
        return None

    @property
    def held(self) -> bool:
        """Whether this object has the lock alone: without its file, others could have one too."""
        try:
            return self._descriptor is not None and _is_file_at(self._descriptor, self.path)
        except OSError:  # the next attempt to take it raises the reason
            return False

    def release(self) -> None:
        """Unlock it and remove the file. Idempotent."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is None:
            return
        # Unlinked while it is locked: whoever opened it before sees that the path is another file's now.
        with suppress(OSError):
            if _is_file_at(descriptor, self.path):
                self.path.unlink()

        # Unlocked by name: a child that was forked just now shares the lock until it executes.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)

    def disown(self) -> None:
        """Close it in a forked child: its parent goes on holding it, alone."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    @classmethod
    def _try(cls, path: Path, owner: Owner) -> Self | None:
        while True:
            descriptor = os.open(path, _FLAGS, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                if _is_file_at(descriptor, path):
                    _write_owner(descriptor, owner)
                    return cls(path, descriptor)

            except OSError as error:
                os.close(descriptor)
                if isinstance(error, BlockingIOError):
                    return None
                raise
            # Its last holder removed the file between our open and our lock: again, with the new one.
            os.close(descriptor)


def runs_folder(directories: Directories) -> Path:
    """Where locks and run records are kept."""
    return directories.state / "runs"


def lock_path(directories: Directories, namespace: str, name: str) -> Path:
    """Where the lock of a server is."""
    key = hex_digest(f"{namespace}\0{name}".encode("utf-8", "surrogateescape"))
    return runs_folder(directories) / f"{key}.lock"


def lock_owner(directories: Directories, namespace: str, name: str) -> Owner | None:
    """The living supervisor of a server, as its lock's file names it; None where there is none."""
    # The lock itself is not tried: that would get in the way of a start.
    owner = _read_owner(lock_path(directories, namespace, name))
    if owner is None or owner.sweeps:
        return None
    return owner if is_alive(owner.pid, owner.start_time) else None


def _is_file_at(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.lstat(path))
    except (FileNotFoundError, NotADirectoryError):
        return False


def _write_owner(descriptor: int, owner: Owner) -> None:
    # A full disk makes a message poorer, not the lock weaker.
    with suppress(OSError):
        os.fchmod(descriptor, 0o600)
        known = {name: getattr(owner, name) for name in field_names(owner)}  # not asdict, which copies all
        size = os.pwrite(descriptor, json.dumps(known).encode(), 0)

        # Cut at the end and only where it must be: ext4 flushes a file that was emptied when it is closed.
        if os.fstat(descriptor).st_size > size:
            os.ftruncate(descriptor, size)


def _read_owner(path: Path) -> Owner | None:
    import msgspec  # noqa: PLC0415 - heavy

    with suppress(OSError, ValueError, RecursionError), found_folder(path.parent) as folder:
        return msgspec.convert(json.loads(read_small(path.name, folder)), Owner)
    return None


def _already_running(path: Path, name: str, owner: Owner | None) -> ProcessAlreadyRunning:
    pid = None if owner is None else owner.pid
    who = "another hostler" if pid is None else f"another hostler (pid {pid})"
    if pid == os.getpid():
        who = f"another supervisor of this process (pid {pid})"
    elif pid == os.getppid():
        who = f"the process that has started this one (pid {pid})"

    message, hint = f"it is already run by {who}", _advice(pid)
    if owner is not None and owner.sweeps:
        message = f"{who} still cleans up behind one that was killed"
        hint = "wait until that is done; perhaps a disk hangs"
    return ProcessAlreadyRunning(message, server=name, hint=hint, details={"pid": pid, "lock": str(path)})


def _advice(pid: int | None) -> str:
    """What to do: for the usual reasons why a program that hosts servers runs twice, what cures them."""
    if "PYTEST_XDIST_WORKER" in os.environ and pid != os.getpid():
        own = 'namespace=os.environ["PYTEST_XDIST_WORKER"]'
        return f"each worker of pytest-xdist needs servers of its own: serve(..., {own})"
    if pid is not None and pid == os.getppid():
        return (
            "a reloader (Flask, Django, uvicorn) runs the program twice: serve in one of the two, switch it "
            "off (use_reloader=False), or have other servers with namespace=..."
        )

    return (
        "stop that one first (hostler stop), or use its server (hostler url); to run a second one, copy the "
        "configuration to another folder or, in a program, give each a namespace of its own, which keeps "
        "its servers apart: "
        'serve(..., namespace="second")'
    )
