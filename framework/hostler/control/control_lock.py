"""The lock of one configuration's hostler in one folder, and its description beside it."""

from __future__ import annotations

import errno
import fcntl
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Self

from hostler import ProcessAlreadyRunning, trusted_folder
from hostler.control.location import Location, start_time
from hostler.control.whole_file import write_whole

_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC


class ControlLock:
    """Held from `take` to `release`, or to the death of the process."""

    def __init__(self, location: Location, descriptor: int) -> None:
        self.location = location
        self._descriptor = descriptor

    @classmethod
    def take(cls, location: Location, *, relistens: bool) -> Self:
        """Lock, and write who we are into the file.

        Raises ProcessAlreadyRunning with the pid of who has it, which may be a client that only looks whether
        it is held and has it for a moment; and OSError where the folder is not ours.
        """
        make_private(location.folder)
        descriptor = _try_lock(location.lock)
        if descriptor is None:
            pid = location.owner().get("pid")
            raise ProcessAlreadyRunning(
                f"another hostler (pid {pid}) supervises this configuration",
                hint="`hostler ps` shows its servers, `hostler down` ends it",
                details={"pid": pid, "lock": location.lock},
            )
        own = {"pid": os.getpid(), "start_time": start_time(os.getpid()), "relistens": relistens}
        data = json.dumps(own).encode()
        try:
            os.pwrite(descriptor, data, 0)
            os.ftruncate(descriptor, len(data))
        except BaseException as error:
            os.close(descriptor)
            if isinstance(error, OSError):
                error.filename = location.lock
            raise
        return cls(location, descriptor)

    def is_there(self) -> bool:
        """Whether its file is in its place: without it nobody sees us, and another may be started."""
        return _is_at(self._descriptor, self.location.lock)

    def describe(self, values: Mapping[str, object]) -> None:
        """Write the description, whole or not at all. Raises OSError."""
        write_whole(self.location.description, json.dumps(values).encode())

    def release(self) -> None:
        """Remove the description and unlock. What others have made in their places meanwhile stays."""
        # Unlinked while it is locked: whoever opened it before sees that the path is another file's now.
        if self.is_there():
            for path in (self.location.description, self.location.lock):
                with suppress(OSError):
                    os.unlink(path)
        fcntl.flock(self._descriptor, fcntl.LOCK_UN)
        os.close(self._descriptor)


def make_private(folder: str) -> None:
    """Make a folder that only we can use; OSError where it is another's, or open to others."""
    with trusted_folder(Path(folder), make=True) as descriptor:
        found = os.fstat(descriptor)
    if found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"it belongs to user {found.st_uid}", folder)
    if found.st_mode & 0o077:
        raise PermissionError(errno.EPERM, f"others may use it (mode {found.st_mode & 0o777:04o})", folder)


def identity(path: str) -> tuple[int, int] | None:
    """Which file is at a path; None without one."""
    with suppress(OSError):
        found = os.lstat(path)
        return found.st_dev, found.st_ino
    return None


def _try_lock(path: str) -> int | None:
    while True:
        descriptor = os.open(path, _LOCK, 0o600)
        try:
            _refuse_foreign(descriptor, path)
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        except BaseException:
            os.close(descriptor)
            raise
        if _is_at(descriptor, path):
            return descriptor
        # Its last holder removed the file between our open and our lock: again, with the new one.
        os.close(descriptor)


def _refuse_foreign(descriptor: int, path: str) -> None:
    """Raise PermissionError for a file of somebody else, who could hold the lock for ever."""
    owner = os.fstat(descriptor).st_uid
    if owner != os.geteuid():
        raise PermissionError(errno.EPERM, f"it belongs to user {owner}", path)


def _is_at(descriptor: int, path: str) -> bool:
    """Whether an open file is the one at a path."""
    found = os.fstat(descriptor)
    return identity(path) == (found.st_dev, found.st_ino)
