"""The lock and the socket of one configuration's hostler, and its description for others."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import socket
import stat
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from hostler import EnvironmentSetupFailed, ProcessAlreadyRunning, trusted_folder
from hostler.control.location import LONGEST_PATH, Location

_BACKLOG = 128
_LOCK = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PROBE_SECONDS = 0.2  # a client that looks whether the lock is held has it for a moment


class ControlSocket:
    """One configuration's lock and listening socket, from `take` to `release` or the death of the process."""

    def __init__(self, location: Location, lock: int, path: str, *, relistens: bool) -> None:
        self.location = location
        self.path = path
        self.listener = _listen(path)
        self._made = _identity(path)
        self._lock = lock
        self._relistens = relistens
        self._description: dict[str, object] = {}

    @classmethod
    def take(cls, location: Location, path: str | None = None, *, relistens: bool = False) -> Self:
        """Lock the configuration and listen, at `path` where the socket is to be elsewhere.

        Clients send SIGUSR1 for a socket that is gone where this process `relistens` on it: it would end
        others. Raises ProcessAlreadyRunning with the pid of who has it, and EnvironmentSetupFailed where a
        folder is not ours or the socket cannot be made.
        """
        path = location.socket if path is None else os.path.abspath(path)
        _refuse_long(path)
        with _explained(path):
            for folder in dict.fromkeys((location.folder, os.path.dirname(path))):
                _make_private(folder)
            lock = _take_lock(location, relistens=relistens)
            try:
                if path != location.socket:
                    _refuse_another(path)
                return cls(location, lock, path, relistens=relistens)
            except BaseException:
                _release_lock(location, lock)
                raise

    def describe(self, values: dict[str, object]) -> None:
        """Write what others want to know of this hostler beside the socket, whole or not at all.

        Raises EnvironmentSetupFailed.
        """
        self._description = values
        known = {"pid": os.getpid(), "socket": self.path, **values}
        with _explained(self.location.description):
            _replace(self.location.description, json.dumps(known).encode())

    def is_there(self) -> bool:
        """Whether our lock and our socket are in their places."""
        return self._has_lock_file() and self._has_socket()

    def lock_again(self) -> None:
        """Take the lock anew, where its file was removed, as at the end of a login session; errors as `take`.

        As long as it is gone nobody sees us, and another hostler may be started.
        """
        if self._has_lock_file():
            return
        with _explained(self.location.lock):
            _make_private(self.location.folder)
            lock = _take_lock(self.location, relistens=self._relistens)
            os.close(self._lock)
            self._lock = lock
        self.describe(self._description)

    def listen_again(self) -> None:
        """Listen at the path anew, where somebody has removed the socket. Raises OSError."""
        self.listener.close()
        _make_private(os.path.dirname(self.path))
        if self.path != self.location.socket:
            _refuse_another(self.path)
        self.listener = _listen(self.path)
        self._made = _identity(self.path)

    def release(self) -> None:
        """Stop listening, remove the files, the lock last. Idempotent."""
        self.listener.close()
        if self._lock < 0:
            return
        # What was removed may have been made by another hostler by now, and is that one's.
        ours = [self.path] if self._has_socket() else []
        if self._has_lock_file():
            ours.append(self.location.description)
        for path in ours:
            with suppress(OSError):
                os.unlink(path)
        lock, self._lock = self._lock, -1
        _release_lock(self.location, lock)

    def _has_socket(self) -> bool:
        return _identity(self.path) == self._made

    def _has_lock_file(self) -> bool:
        return _is_at(self._lock, self.location.lock)


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Raise EnvironmentSetupFailed for an OSError, which may know better than we which path it is about."""
    try:
        yield
    except OSError as error:
        where = error.filename2 or error.filename or path
        raise EnvironmentSetupFailed(
            f"the control socket cannot be made: {where}: {error.strerror}",
            hint="remove what is there, or repair its owner and mode; --no-control runs without a socket",
            details={"path": str(where)},
        ) from error


def _refuse_long(path: str) -> None:
    length = len(os.fsencode(path))
    if length > LONGEST_PATH:
        raise EnvironmentSetupFailed(
            f"the path of the control socket has {length} bytes, and {LONGEST_PATH} is the most: {path}",
            hint="choose a shorter one with --socket PATH or XDG_RUNTIME_DIR, or run with --no-control",
            details={"path": path, "longest": LONGEST_PATH},
        )


def _make_private(folder: str) -> None:
    """Make a folder that only we can use; OSError where it is another's, or open to others."""
    with trusted_folder(Path(folder), make=True) as descriptor:
        found = os.fstat(descriptor)
    if found.st_uid != os.geteuid():
        raise PermissionError(errno.EPERM, f"it belongs to user {found.st_uid}", folder)
    if found.st_mode & 0o077:
        raise PermissionError(errno.EPERM, f"others may use it (mode {found.st_mode & 0o777:04o})", folder)


def _refuse_another(path: str) -> None:
    """Raise OSError where a path that was chosen has another file, or is in use: no lock tells whose."""
    with suppress(FileNotFoundError):
        if not stat.S_ISSOCK(os.lstat(path).st_mode):
            raise FileExistsError(errno.EEXIST, "what is there is no socket", path)
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        with suppress(FileNotFoundError, ConnectionRefusedError):
            with suppress(BlockingIOError):  # somebody who is slow to take connections
                probe.connect(path)
            raise OSError(errno.EADDRINUSE, "another program listens there", path)


def _take_lock(location: Location, *, relistens: bool) -> int:
    until = time.monotonic() + _PROBE_SECONDS
    while (lock := _try_lock(location.lock)) is None:
        if time.monotonic() > until:
            pid = location.owner().get("pid")
            raise ProcessAlreadyRunning(
                f"another hostler (pid {pid}) supervises this configuration",
                hint="`hostler ps` shows its servers, `hostler down` ends it",
                details={"pid": pid, "lock": location.lock},
            )
        time.sleep(0.005)
    owner = json.dumps({"pid": os.getpid(), "relistens": relistens}).encode()
    try:
        os.pwrite(lock, owner, 0)
        os.ftruncate(lock, len(owner))
    except BaseException:
        os.close(lock)
        raise
    return lock


def _try_lock(path: str) -> int | None:
    while True:
        descriptor = os.open(path, _LOCK, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(descriptor)
            return None
        if _is_at(descriptor, path):
            return descriptor
        # Its last holder removed the file between our open and our lock: again, with the new one.
        os.close(descriptor)


def _release_lock(location: Location, lock: int) -> None:
    # Unlinked while it is locked: whoever opened it before sees that the path is another file's now.
    if _is_at(lock, location.lock):
        with suppress(OSError):
            os.unlink(location.lock)
    fcntl.flock(lock, fcntl.LOCK_UN)
    os.close(lock)


def _listen(path: str) -> socket.socket:
    """Listen under another name first, so that whoever finds the socket can connect to it."""
    unfinished = f"{os.path.dirname(path)}/.{os.getpid()}"
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with suppress(FileNotFoundError):
            os.unlink(unfinished)
        listener.bind(unfinished)
        os.chmod(unfinished, 0o600)
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        os.rename(unfinished, path)
    except BaseException:
        listener.close()
        with suppress(OSError):
            os.unlink(unfinished)
        raise
    return listener


def _is_at(descriptor: int, path: str) -> bool:
    """Whether an open file is the one at a path."""
    found = os.fstat(descriptor)
    return _identity(path) == (found.st_dev, found.st_ino)


def _identity(path: str) -> tuple[int, int] | None:
    """Which file is at a path; None without one."""
    with suppress(OSError):
        found = os.lstat(path)
        return found.st_dev, found.st_ino
    return None


def _replace(path: str, data: bytes) -> None:
    unfinished = f"{path}.{os.getpid()}"
    with suppress(FileNotFoundError):
        os.unlink(unfinished)
    try:
        with open(os.open(unfinished, _NEW, 0o600), "wb") as file:
            file.write(data)
        os.rename(unfinished, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(unfinished)
        raise
