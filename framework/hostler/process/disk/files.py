"""Small private files in folders of our own: written whole or not at all, read without being led astray."""

from __future__ import annotations

import errno
import os
import re
import stat
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path

from hostler.files.digest import hex_digest
from hostler.process.disk.directories import folder_identity, secure_folder
from hostler.process.disk.trusted_folder import make_private, trusted_folder

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_MORE = os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
_SAME = os.O_WRONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_OLD = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_MOST = 4 * 2**20
_PLAIN = re.compile(r"[A-Za-z0-9_-]{1,64}")
_ROOM = 512
_PAGE = 4096
UNFINISHED = ".tmp"
"""What the names of files end with that are being written."""


def own_folder(root: Path, *parts: str) -> AbstractContextManager[int]:
    """Open the folder `parts` in `root`, made where it is missing, with mode 0700 whatever the umask.

    Gives a descriptor. A symbolic link in the place of a part is refused: OSError, as when the disk
    refuses; EnvironmentSetupFailed when `root` is not to be trusted.
    """
    return _folder_in(secure_folder(root), parts, make=True)


def found_folder(root: Path, *parts: str) -> AbstractContextManager[int]:
    """Open the folder `parts` in `root` to read in it. OSError when it is missing or not to be trusted."""
    return _folder_in(trusted_folder(root), parts, make=False)


class KeptFolder:
    """A folder as `own_folder` opens it, kept open as long as it is the one at its path, and unchanged."""

    def __init__(self, root: Path, *parts: str) -> None:
        self._root, self._parts = root, parts
        self._path = root.joinpath(*parts)
        self._seen: tuple[tuple[int, ...], ...] = ()
        self._descriptor = -1

    def open(self) -> int:
        """Give its descriptor; errors as in `own_folder`."""
        seen = self._identities()
        if self._descriptor < 0 or self._seen != seen:
            self.close()
            with own_folder(self._root, *self._parts) as folder:
                self._descriptor = os.dup(folder)
            # As they were before: one that was missing, or replaced meanwhile, is opened once more.
            self._seen = () if () in seen else seen
        return self._descriptor

    def close(self) -> None:
        """Close it, until it is opened again."""
        descriptor, self._descriptor = self._descriptor, -1
        if descriptor >= 0:
            os.close(descriptor)

    def _identities(self) -> tuple[tuple[int, ...], ...]:
        return folder_identity(self._root), folder_identity(self._path, follow=False)


def replace_file(name: str, data: bytes, folder: int | None, unfinished: str = "") -> None:
    """Put a file with mode 0600 into an open folder, as a whole or not at all, in the place of one before.

    One writer at a time; `read_replaced` reads it meanwhile. `unfinished` is the name of the file until it is
    whole, where that is not its own with `UNFINISHED` behind it. With absolute paths there is no folder.
    """
    unfinished = unfinished or name + UNFINISHED
    # Somebody who was killed while writing may have left it.
    remove(unfinished, folder)
    try:
        write_new(unfinished, data, folder)
    except OSError:
        remove(unfinished, folder)
        raise
    # Not renamed over the old one: ext4 flushes then (0.15 ms). What fails in between leaves the new one.
    remove(name, folder)
    os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)


def recycle_file(old: str, name: str, data: bytes, folder: int) -> None:
    """Do as `replace_file` under a new name, in what was the file `old`: who reads that one may see a part.

    Where files are removed all the time, ext4 takes up to 2 ms to make one.
    """
    unfinished = name + UNFINISHED
    with suppress(OSError):
        os.rename(old, unfinished, src_dir_fd=folder, dst_dir_fd=folder)
        with os.fdopen(os.open(unfinished, _SAME, dir_fd=folder), "wb") as file:
            plain = _is_plain(os.fstat(file.fileno()))
            if plain:
                file.write(data)
                file.truncate()  # not before: ext4 flushes what was empty
        if plain:
            os.rename(unfinished, name, src_dir_fd=folder, dst_dir_fd=folder)
            return
    replace_file(name, data, folder)


def rewrite_file(name: str, data: bytes, folder: int) -> None:
    """Do as `replace_file` with JSON that is written often: spaces follow it, so that the next one fits in.

    `read_rewritten` reads it meanwhile.
    """
    data = data.ljust(-(-len(data) // _ROOM) * _ROOM)
    # Not a new file each time: that takes ten times as long, and a hundred times while its journal is busy.
    # Within a page: the kernel looks for a kill between two, which would leave half of each.
    if len(data) > _PAGE or not _write_over(name, data, folder):
        replace_file(name, data, folder)


def _write_over(name: str, data: bytes, folder: int) -> bool:
    """Write over a file of our own of the same size, in one piece; False where there is none."""
    try:
        descriptor = os.open(name, _SAME, dir_fd=folder)
    except OSError:
        return False
    try:
        found = os.fstat(descriptor)
        same = _is_plain(found) and found.st_size == len(data)
        return same and os.pwrite(descriptor, data, 0) == len(data)
    except OSError:
        return False
    finally:
        os.close(descriptor)


def _is_plain(found: os.stat_result) -> bool:
    # A second name may be that of any file of ours.
    return found.st_mode == stat.S_IFREG | 0o600 and found.st_nlink == 1


def read_rewritten(name: str, folder: int) -> bytes:
    """Read what `rewrite_file` wrote, or is about to; errors as in `read_small`."""
    before = None
    # Twice the same: the first may be half of one, half of the next.
    while (text := read_replaced(name, folder)) != before:
        before = text
    return text


def read_replaced(name: str, folder: int, unfinished: str = "") -> bytes:
    """Read what `replace_file` wrote, or is about to; errors as in `read_small`."""
    for candidate in (name, unfinished or name + UNFINISHED):
        with suppress(FileNotFoundError):
            return read_small(candidate, folder)
    return read_small(name, folder)  # it was renamed while we looked


def write_new(path: str, data: bytes, folder: int | None = None) -> None:
    """Write a file that must not exist yet, with mode 0600 whatever the umask; OSError where it cannot be.

    `folder` is the descriptor of the folder that a relative path starts from.
    """
    descriptor = os.open(path, _NEW, 0o600, dir_fd=folder)
    try:
        os.fchmod(descriptor, 0o600)
        while data:
            data = data[os.write(descriptor, data) :]
    finally:
        os.close(descriptor)


def append(path: Path, data: bytes, when: Callable[[int], bool] = lambda _: True) -> bool:
    """Add to a file that exists, in one piece, if `when` holds for its descriptor; whether it did.

    OSError where nothing can be added, or only a part.
    """
    descriptor = os.open(path, _MORE)
    try:
        holds = when(descriptor)
        if holds and os.write(descriptor, data) < len(data):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return holds
    finally:
        os.close(descriptor)


def read_small(name: str, folder: int) -> bytes:
    """Read a file of at most 4 MiB. OSError when it is larger, a symbolic link, or no plain file."""
    descriptor = os.open(name, _OLD, dir_fd=folder)
    with os.fdopen(descriptor, "rb") as file:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode) or found.st_size > _MOST:
            raise OSError(f"{name} is not a small regular file")
        return file.read(_MOST)


def remove(name: str, folder: int | None) -> None:
    """Remove a file of an open folder, if that can be done."""
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)


def file_name(server: str) -> str:
    """The name of a server as that of a file: names from Python may be anything."""
    if _PLAIN.fullmatch(server):
        return server
    return "." + hex_digest(server.encode("utf-8", "surrogateescape"))[:16]


@contextmanager
def _folder_in(root: AbstractContextManager[int], parts: Sequence[str], *, make: bool) -> Iterator[int]:
    with root as trusted:
        # A descriptor of its own, since that of `trusted_folder` cannot be listed.
        descriptor = os.open(".", _FOLDER, dir_fd=trusted)

    try:
        for part in parts:
            if make:
                make_private(part, descriptor)
            parent, descriptor = descriptor, os.open(part, _FOLDER, dir_fd=descriptor)
            os.close(parent)
            if make:
                os.fchmod(descriptor, 0o700)
        yield descriptor
    finally:
        os.close(descriptor)
