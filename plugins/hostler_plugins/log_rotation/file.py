"""The file of log-rotation on disk: made, locked, rotated, and made again when somebody takes it away."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path
from typing import Required, TypedDict, Unpack

from hostler import LogIndex, StreamName, trusted_folder

from hostler_plugins.log_rotation.archives import Archives
from hostler_plugins.log_rotation.lock import lock_file

_LOOK_AFTER = 0.5
"""Seconds between two looks whether the file was moved, and between two tries to rotate it."""

_TRIES = 3
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT)
# Somebody may have put a link (O_NOFOLLOW) or a pipe (O_NONBLOCK) in the place of the file.
_FLAGS = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Rotation(TypedDict, total=False):
    """How a file is rotated, and what is kept beside it.

    `every` is the length in seconds of the time that goes into one file, counted from midnight UTC; 0: any.
    `stays` hears, once until it succeeds again, why the file cannot be rotated.
    """

    keep: Required[int]
    every: float
    compress: bool
    index: LogIndex | None
    stays: Callable[[OSError], None]


class RotatedFile:
    """One file on disk. `size` is without the unfinished line at its end, `total` all that was ever added."""

    def __init__(self, path: Path, **rotation: Unpack[Rotation]) -> None:
        self._path = path
        self._archives = Archives(path.name, rotation["keep"], compress=rotation.get("compress", False))
        self._every = rotation.get("every", 0.0)
        self._index = rotation.get("index")
        self._turn = 0
        self._fd = -1
        self._place: str | None = None  # where the folder is, all links followed
        self._looked = 0.0
        self._stays: Callable[[OSError], None] = rotation.get("stays", lambda _: None)
        self._stayed = False
        self._not_before = 0.0
        self._full = False  # the last write found no room
        self.size = 0
        self.total = 0

    def open(self, patience: float = 0.0) -> None:
        """Open or make the file (0600, in folders of 0700), locked; OSError says why not."""
        for _ in range(_TRIES - 1):
            with contextlib.suppress(FileNotFoundError):  # somebody is removing the folder just now
                return self._open(patience)
        return self._open(patience)

    def _open(self, patience: float) -> None:
        with trusted_folder(self._path.parent, make=True) as folder:
            self._check_place(folder)
            fd = _opened(self._path, folder)
            try:
                self.size = _prepared(fd, self._path, patience)
            except OSError:
                os.close(fd)
                raise

            self._close_file()
            self._fd = fd
            if self._index is None:
                LogIndex.remove(folder, self._path.name)  # of a time when there was one
            else:
                self._index.open(folder, self._path.name, fd, self.size)

        self._looked = time.monotonic()
        self._turn = self._turn_of(os.fstat(fd).st_mtime if self.size else time.time())

    def _check_place(self, folder: int) -> None:
        """Refuse a folder that lies elsewhere than the first one: by a link that the server made."""
        place = _path_of(folder, self._path.parent)
        if self._place not in {None, place}:
            raise OSError(errno.EPERM, f"its folder is {place} now, no longer {self._place}", str(self._path))
        self._place = place

    def write(self, text: bytes, done: int) -> None:
        """Append all of `text`; `done` bytes more are whole lines then."""
        self._ask_for_room(len(text))
        written = self._with_room(os.write, text)
        while written < len(text):
            written += self._with_room(os.write, text[written:])
        self._full = False
        self.size += done
        self.total += done

    def note(self, stream: StreamName, text: bytes, unfinished: int | None) -> None:
        """Before `text` is written: note in the index where the first line that begins in it will stand.

        `unfinished` is the length of the line at the end, which `text` goes on with; None where none is.
        """
        index = self._index
        if index is None or not index.is_due(stream, self.size):
            return
        if unfinished is None:
            index.note(stream, self.size)
            return
        cut = text.find(b"\n") + 1
        if 0 < cut < len(text):
            index.note(stream, self.size + unfinished + cut)

    def write_over(self, stream: StreamName, lines: bytes, owner: StreamName, loose: bytes) -> None:
        """Put lines before the unfinished line at the end, without making the file shorter meanwhile."""
        if self._index is not None:
            self._index.note(stream, self.size)
            self._index.note(owner, self.size + len(lines))
        self._ask_for_room(len(lines) + len(loose))
        # With O_APPEND, pwrite appends on Linux whatever its offset (pwrite(2), BUGS).
        fcntl.fcntl(self._fd, fcntl.F_SETFL, os.O_NONBLOCK)

        try:
            text = lines + loose
            written = 0
            while written < len(text):
                written += self._with_room(os.pwrite, text[written:], self.size + written)
        finally:
            fcntl.fcntl(self._fd, fcntl.F_SETFL, os.O_APPEND | os.O_NONBLOCK)

        self._full = False
        self.size += len(lines)
        self.total += len(lines)

    def cut_off(self) -> None:
        """Remove the unfinished line at the end."""
        size = os.fstat(self._fd).st_size
        if size > self.size:
            os.ftruncate(self._fd, self.size)
        self._shrink(size)  # somebody may have emptied it

    def _shrink(self, size: int) -> None:
        """Know that no more than that is there."""
        if size < self.size and self._index is not None:
            self._index.cut(size)
        self.size = min(self.size, size)

    def repair(self, error: OSError) -> None:
        """Remove what a failed write left; what is broken otherwise is opened again by the next `look`."""
        try:
            is_more = os.fstat(self._fd).st_size > self.size
            self.cut_off()
            if is_more and self._index is not None:
                self._index.cut(self.size)  # somebody may have read the lines that are cut off
        except OSError:
            self._close_file()
        self._full = error.errno in _NO_ROOM
        if not self._full:
            self._close_file()

    def _with_room(self, write: Callable[..., int], *arguments: object) -> int:
        """Write some bytes, and try once more where a removed file had yet to give its room back."""
        try:
            return write(self._fd, *arguments)
        except OSError as error:
            if error.errno not in _NO_ROOM or not self._archives.settle():
                raise
        return write(self._fd, *arguments)

    def _ask_for_room(self, size: int) -> None:
        """While a disk is full, write nothing that would have to be cut off again: OSError.

        Who empties the file to make room could do so just before the cut, which would then make it longer.
        """
        if not self._full:
            return
        disk = os.fstatvfs(self._fd)
        free = disk.f_bavail if os.geteuid() else disk.f_bfree
        if disk.f_blocks and free * disk.f_frsize < size:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def look(self, loose: int, *, at_once: bool) -> bool:
        """Open the file again when it was removed, and when a look now and then finds that it was moved.

        `loose` is the length of the unfinished line at its end; True when that has to be written again.
        """
        now = time.monotonic()
        removed = self._fd < 0 or not os.fstat(self._fd).st_nlink
        if not (removed or at_once) and now - self._looked < _LOOK_AFTER:
            return False

        self._looked = now

        if removed or self._moved():
            self.open()
            return True

        size = os.fstat(self._fd).st_size
        emptied = size < loose
        self._shrink(0 if emptied else size - loose)
        return emptied

    def rotate(self) -> bool:
        """Rename the files, the oldest goes, and begin a new one; False where this one has to grow on."""
        now = time.monotonic()
        if now < self._not_before:
            return False

        try:
            # The folder is not kept open meanwhile: with hundreds of servers descriptors run short.
            with trusted_folder(Path(_path_of(self._fd, self._path)).parent) as folder:
                self._archives.shift(folder)
        except OSError as error:
            # Every line would try again, and fail in the same way.
            self._not_before = now + _LOOK_AFTER
            if not self._stayed:
                self._stays(error)
            self._stayed = True
            return False

        self._stayed = False
        self._close_file()
        self.open()
        return True

    def is_due(self) -> bool:
        """Whether the time that goes into this file is over, and something is in it."""
        return bool(self._every) and self.size > 0 and self._turn_of(time.time()) > self._turn

    def _turn_of(self, moment: float) -> int:
        return int(moment // self._every) if self._every else 0

    def close(self) -> None:
        """Close the file, which ends the lock, when the rotated ones are complete, or after a moment."""
        self._archives.close()
        self._close_file()

    def _close_file(self) -> None:
        if self._fd >= 0:
            with contextlib.suppress(OSError):  # by name: a child that was forked just now shares the lock
                fcntl.flock(self._fd, fcntl.LOCK_UN)
        if self._index is not None:
            self._index.close()
        self.disown()

    def disown(self) -> None:
        """Close the file, and leave its lock to whoever shares it over a fork."""
        if self._index is not None:
            self._index.disown()
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _moved(self) -> bool:
        try:
            there = os.lstat(self._path)
        except (FileNotFoundError, NotADirectoryError):
            return True
        except OSError:  # it cannot be looked at, but it is still open
            return False
        here = os.fstat(self._fd)
        return (there.st_dev, there.st_ino) != (here.st_dev, here.st_ino)


def why_no_log(path: Path) -> str:
    """Why what is at a path cannot be a log file; "" where it can, or where nothing is."""
    try:
        return _fault(path.lstat())
    except OSError:
        return ""


def _path_of(fd: int, path: Path) -> str:
    """Where an open file or folder is; by its path where the system does not tell."""
    try:
        return os.readlink(f"/proc/self/fd/{fd}")  # noqa: PTH115 - every restart waits for this
    except OSError:  # pragma: other-system
        return str(path.resolve())


def _opened(path: Path, folder: int) -> int:
    try:
        return os.open(path.name, _FLAGS, 0o600, dir_fd=folder)
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise OSError(errno.EPERM, "it is a symbolic link", str(path)) from error
        raise


def _fault(found: os.stat_result) -> str:
    if stat.S_ISLNK(found.st_mode):
        return "it is a symbolic link"
    if not stat.S_ISREG(found.st_mode):
        return "it is not a regular file, which could be renamed"
    if found.st_uid not in {os.geteuid(), 0}:  # who owns it can read what we write
        return f"it belongs to user {found.st_uid}"

    # Others may have planted it: it could be any file of ours.
    return "it has a second name (a hard link)" if found.st_nlink > 1 else ""


def _prepared(fd: int, path: Path, patience: float) -> int:
    """Check, lock and end the last line of a file that was just opened; returns its size."""
    if fault := _fault(os.fstat(fd)):
        raise OSError(errno.EPERM, fault, str(path))
    os.fchmod(fd, 0o600)
    lock_file(fd, path, patience)
    size = os.fstat(fd).st_size
    if size and os.pread(fd, 1, size - 1) != b"\n":
        size += os.write(fd, b"\n")
    return size
