"""Emptying a folder, however deep it is, without leaving its disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import suppress
from itertools import count

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def empty(folder: int) -> None:
    """Remove all that is in an open folder; links are removed, not followed. OSError where that cannot be.

    Each folder inside is first moved to the top. So its depth is limited neither by the stack nor by
    descriptors (shutil.rmtree ends at 1,000 levels), and a disk that somebody mounted inside is not
    emptied: a mount point cannot be moved.
    """
    with suppress(OSError):
        os.fchmod(folder, 0o700)

    names = (f"hostler-{number}" for number in count())
    waiting = list(_move_up(folder, folder, names))

    while waiting:
        name = waiting.pop()
        inner = os.open(name, _FOLDER, dir_fd=folder)

        try:
            waiting += _move_up(inner, folder, names)
        finally:
            os.close(inner)

        os.rmdir(name, dir_fd=folder)


def _move_up(inner: int, folder: int, names: Iterator[str]) -> Iterator[str]:
    """Remove the files in `inner` and move its folders to `folder`; their new names."""
    with os.scandir(inner) as found:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]

    for name, is_folder in entries:
        if is_folder:
            _make_writable(name, inner)
            yield _moved(name, inner, folder, names)
        else:
            os.unlink(name, dir_fd=inner)


def _make_writable(name: str, inner: int) -> None:
    """Caches of programs are read-only sometimes."""
    with suppress(OSError):  # moving it tells what is wrong
        found = os.open(name, _FOLDER, dir_fd=inner)

        try:
            os.fchmod(found, 0o700)
        finally:
            os.close(found)


def _moved(name: str, inner: int, folder: int, names: Iterator[str]) -> str:
    free = next(new for new in names if not _is_there(new, folder))
    os.rename(name, free, src_dir_fd=inner, dst_dir_fd=folder)
    return free


def _is_there(name: str, folder: int) -> bool:
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        return False

    return True
