"""The socket of one configuration's hostler, and its locks and descriptions beside it."""

from __future__ import annotations

import errno
import os
import socket
import stat
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from typing import Self

from hostler import EnvironmentSetupFailed
from hostler.control.control_lock import ControlLock, identity, make_private
from hostler.control.location import LONGEST_PATH, Location, boot_id, start_time
from hostler.control.shortage import hint_for
from hostler.control.whole_file import write_whole

_BACKLOG = 128
_IN_THE_WAY = (
    "choose a path in a folder that only you can use with --socket PATH, or repair what is there; "
    "hostler run --no-control runs without a socket"
)


class ControlSocket:
    """One configuration's locks and listening socket, from `take` to `release` or the process's death."""

    def __init__(
        self, location: Location, locks: Sequence[ControlLock], path: str, *, relistens: bool
    ) -> None:
        self.location = location
        self.path = path
        self.listener = _listen(path)
        self._made = identity(path)
        self._locks = list(locks)
        self._relistens = relistens
        self._description: Mapping[str, object] = {}
        self._tokens: Mapping[str, str] = {}

    @classmethod
    def take(cls, location: Location, path: str | None = None, *, relistens: bool = False) -> Self:
        """Lock the configuration and listen, at `path` where the socket is to be elsewhere.

        Clients send SIGUSR1 for a socket that is gone where this process `relistens` on it: it would end
        others. Raises ProcessAlreadyRunning with the pid of who has it, and EnvironmentSetupFailed where a
        folder is not ours or the socket cannot be made.
        """
        path = location.socket if path is None else os.path.abspath(path)
        _refuse_long(path)
        with _explained(path), ExitStack() as undone:
            locks = []
            for one in location.everywhere:
                locks.append(ControlLock.take(one, relistens=relistens))
                undone.callback(locks[-1].release)
            make_private(os.path.dirname(path))
            if path != location.socket:
                _refuse_another(path)
            made = cls(location, locks, path, relistens=relistens)
            undone.pop_all()
            return made

    def describe(self, values: Mapping[str, object], tokens: Mapping[str, str]) -> None:
        """Write what others want to know of this hostler beside its locks, whole or not at all.

        Each token is in a file of its own. Raises EnvironmentSetupFailed.
        """
        self._description, self._tokens = values, tokens
        pid = os.getpid()
        own = {"pid": pid, "start_time": start_time(pid), "boot_id": boot_id(), "socket": self.path}
        with _explained(self.location.description):
            self._write_tokens()
            for lock in self._locks:
                lock.describe(own | dict(values))

    def is_there(self) -> bool:
        """Whether our locks, our socket and what tells of them are in their places."""
        is_locked = all(lock.is_there() for lock in self._locks)
        return is_locked and self._has_socket() and self._is_described()

    def _is_described(self) -> bool:
        files = [lock.location.description for lock in self._locks]
        files += [path for name, path in self.location.tokens.items() if name in self._tokens]
        return all(map(os.path.lexists, files))

    def lock_again(self) -> None:
        """Take the locks anew whose files were removed, as at the end of a login session; errors as `take`.

        As long as all are gone nobody sees us, and another hostler may be started.
        """
        gone = [lock for lock in self._locks if not lock.is_there()]
        for lock in gone:
            with _explained(lock.location.lock):
                self._locks.append(ControlLock.take(lock.location, relistens=self._relistens))
            self._locks.remove(lock)
            lock.release()
        if gone or not self._is_described():
            self.describe(self._description, self._tokens)

    def listen_again(self) -> None:
        """Listen at the path anew, where somebody has removed the socket. Raises OSError."""
        self.listener.close()
        make_private(os.path.dirname(self.path))
        if self.path != self.location.socket:
            _refuse_another(self.path)
        self.listener = _listen(self.path)
        self._made = identity(self.path)

    def release(self) -> None:
        """Stop listening, remove the files, the locks last. Idempotent."""
        self.listener.close()
        locks, self._locks = self._locks, []
        # What was removed may have been made by another hostler by now, and is that one's.
        ours = [self.path] if locks and self._has_socket() else []
        if any(lock.location.folder == self.location.folder and lock.is_there() for lock in locks):
            ours += [*self.location.tokens.values(), self.location.dashboard]
        for path in ours:
            with suppress(OSError):
                os.unlink(path)
        for lock in locks:
            lock.release()

    def _write_tokens(self) -> None:
        for name, path in self.location.tokens.items():
            if name in self._tokens:
                write_whole(path, self._tokens[name].encode())
            else:
                # Those of a hostler that was killed are no good to anybody.
                with suppress(FileNotFoundError):
                    os.unlink(path)

    def _has_socket(self) -> bool:
        return identity(self.path) == self._made


@contextmanager
def _explained(path: str) -> Iterator[None]:
    """Raise EnvironmentSetupFailed for an OSError, which may know better than we which path it is about."""
    try:
        yield
    except OSError as error:
        where = error.filename2 or error.filename or path
        raise EnvironmentSetupFailed(
            f"the control socket cannot be made: {where}: {error.strerror}",
            hint=hint_for(error, _IN_THE_WAY),
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
