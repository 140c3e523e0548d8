"""Folders that no other user can change, and to which no other user can have led us.

`hostler up` asks for one before it starts anything, so this knows paths as text, without pathlib.
"""

from __future__ import annotations

import errno
import os
import pwd
import stat
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress

from hostler.files.trusted_path import group_members, named_writers, unknown_members

_FOLDER = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST_LINKS = 40


class Untrusted(PermissionError):
    """A part of the way to a folder that another user made or may change.

    `strerror` has which part and why, `reason` why alone, `hint` how to repair it.
    """

    def __init__(self, path: str, reason: str, hint: str = "") -> None:
        super().__init__(errno.EPERM, f"{path}: {reason}", path)
        self.reason = reason
        self.hint = hint


@contextmanager
def trusted_folder(path: str | os.PathLike[str], *, make: bool = False) -> Iterator[int]:
    """Open a folder by a way of which every part is root's or our own, and no other user may change one.

    Gives a descriptor for calls with `dir_fd`; it cannot be listed. Links of root and our own are followed.
    With `make` missing folders are made, with mode 0700 whatever the umask. Raises OSError with the part in
    `filename`; it is `Untrusted` for what belongs to another user, and for a folder without the sticky bit
    in which everybody may write, or in one of our own a group that others are in.
    """
    way = path if os.path.isabs(path) else os.path.join(os.getcwd(), path)
    walk = _PathWalk()
    try:
        walk.enter_all(_parts(os.fspath(way)), make=make)
        yield walk.folder
    finally:
        walk.close()


@contextmanager
def writable_folder(path: str | os.PathLike[str]) -> Iterator[int]:
    """Open a folder as `trusted_folder` does, made where it is missing, in which we alone can make files.

    Raises OSError as there, with the reason why we could make none.
    """
    with trusted_folder(path, make=True) as folder:
        # Here the sticky bit is not enough: somebody could make a file under a name that we are about to use.
        if os.fstat(folder).st_mode & stat.S_IWOTH:
            raise Untrusted(os.fspath(path), "everybody can write to it", f"chmod o-w {path}")
        if not os.access(".", os.W_OK | os.X_OK, dir_fd=folder):
            read_only = os.statvfs(path).f_flag & os.ST_RDONLY
            reason = "its file system is read-only" if read_only else "it is not writable"
            raise OSError(errno.EACCES, reason)
        yield folder


def make_private(name: str, parent: int) -> None:
    """Make a folder in an open one, with mode 0700 whatever the umask; one that is there stays as it is."""
    with suppress(FileExistsError):  # another process was faster; whose it is will be seen
        os.mkdir(name, 0o700, dir_fd=parent)
        # A umask such as 0777 takes even our own bits away.
        os.chmod(name, 0o700, dir_fd=parent)


class _PathWalk:
    """A walk by descriptors: what lies behind us cannot be swapped any more."""

    def __init__(self) -> None:
        self.folder = os.open("/", _FOLDER)
        self._at = "/"
        self._links = 0
        # Who owns the root could do anything. In a user namespace that has no root it is nobody (65534).
        self._roots = {0, os.fstat(self.folder).st_uid}
        self._trusted = self._roots | {os.geteuid()}

    def enter_all(self, parts: Sequence[str], *, make: bool) -> None:
        for part in parts:
            try:
                self._enter(part, make=make)

            except OSError as error:
                if os.path.isabs(error.filename or ""):
                    raise
                raise OSError(error.errno, error.strerror, os.path.join(self._at, part)) from error

    def close(self) -> None:
        os.close(self.folder)

    def _target(self, part: str) -> str | None:
        """Where a link leads; None for what is none."""
        try:
            found = os.stat(part, dir_fd=self.folder, follow_symlinks=False)
        except FileNotFoundError:
            return None
        if not stat.S_ISLNK(found.st_mode):
            return None

        path = os.path.join(self._at, part)
        if found.st_uid not in self._trusted:
            raise Untrusted(path, f"it is a symbolic link that user {found.st_uid} made")
        self._links += 1
        if self._links > _MOST_LINKS:
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
        return os.readlink(part, dir_fd=self.folder)

    def _enter(self, part: str, *, make: bool) -> None:
        try:
            inner = os.open(part, _FOLDER, dir_fd=self.folder)
        except FileNotFoundError:
            if not make:
                raise
            make_private(part, self.folder)
            inner = os.open(part, _FOLDER, dir_fd=self.folder)
        except OSError:
            # With O_DIRECTORY and O_NOFOLLOW a link is ENOTDIR or ELOOP, by the system. Links are few.
            target = self._target(part)
            if target is None:
                raise
            self.enter_all(_parts(target), make=False)
            return

        os.close(self.folder)
        self.folder = inner
        self._at = os.path.normpath(os.path.join(self._at, part))
        self._check()

    def _check(self) -> None:
        found = os.fstat(self.folder)
        if found.st_uid not in self._trusted:
            raise Untrusted(self._at, f"it belongs to user {found.st_uid}")
        # In a sticky folder, such as /tmp, nobody can take away or rename what is another's.
        if found.st_mode & stat.S_ISVTX:
            return
        if found.st_mode & stat.S_IWOTH:
            raise Untrusted(self._at, "everybody can write to it", f"chmod o-w {self._at}")

        if found.st_mode & stat.S_IWGRP and found.st_uid not in self._roots:
            self._check_group(found.st_gid)

    def _check_group(self, group: int) -> None:
        """Refuse a group that others are in: distributions that give each user a group set its bits too."""
        uids = sorted(set(group_members(group)) - {0, os.geteuid()})
        # One without an account may get it later, or has it in a directory service that is down.
        others = [*(pwd.getpwuid(uid).pw_name for uid in uids), *unknown_members(group)]
        if others:
            reason = f"user {others[0]} may write in it, by its group"
            raise Untrusted(self._at, reason, f"chmod g-w {self._at}")
        if named_writers(self._at):
            raise Untrusted(
                self._at, "others can write to it through its access list", f"setfacl -b {self._at}"
            )


def _parts(path: str) -> list[str]:
    """What is passed on the way, from the root where the path is absolute; ".." may stand behind a link."""
    return [*["/"][: path.startswith("/")], *(part for part in path.split("/") if part not in {"", "."})]
