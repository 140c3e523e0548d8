"""Removing a tree of files inside of folders that are ours to clean, however deep it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, suppress
from itertools import count
from pathlib import Path

from hostler.errors import EnvironmentSetupFailed

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def remove_inside(path: Path, roots: Iterable[Path]) -> bool:
    """Remove a file or a whole tree that lies in one of `roots`; False where there is nothing to remove.

    EnvironmentSetupFailed when it lies elsewhere, when the way to it leads through a symbolic link, when
    another user made it, or when the system refuses. A link at `path` itself is removed, not followed.
    """
    try:
        for root in roots:
            for name in (root, Path(os.path.realpath(root))):  # resolve() raises at loops of links
                if name in path.parents and ".." not in path.parts:
                    return _remove(name, path.relative_to(name).parts)

    except FileNotFoundError:
        return False
    except OSError as error:
        raise _not_removed(path, error.strerror or str(error)) from error

    raise _not_removed(path, "it is in no temporary directory and in none of hostler's own")


def _remove(root: Path, parts: Sequence[str]) -> bool:
    """Walk down by descriptors, so that nobody can swap a directory for a link while we look."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

    with ExitStack() as opened:
        folder = os.open(root, flags)
        opened.callback(os.close, folder)
        for part in parts[:-1]:
            folder = os.open(part, flags | os.O_NOFOLLOW, dir_fd=folder)
            opened.callback(os.close, folder)
        found = os.stat(parts[-1], dir_fd=folder, follow_symlinks=False)
        if found.st_uid != os.geteuid():
            raise _not_removed(root.joinpath(*parts), f"it belongs to user {found.st_uid}")
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(parts[-1], dir_fd=folder)
            return True
        inner = os.open(parts[-1], flags | os.O_NOFOLLOW, dir_fd=folder)
        opened.callback(os.close, inner)
        _remove_contents(inner)
        os.rmdir(parts[-1], dir_fd=folder)

    return True


def _remove_contents(folder: int) -> None:
    """Remove all that is in an open folder; links are removed, not followed. OSError where that cannot be.

    Each folder inside is first moved to the top. So its depth is limited neither by the stack nor by
    descriptors, and a disk that somebody mounted inside is not emptied: a mount point cannot be moved.
    """
    # Not shutil.rmtree: it holds a descriptor for each level (before Python 3.13 a stack frame, too), leaves
    # read-only folders behind, and empties what is mounted inside, which may be of the same device (--bind).
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
    with suppress(OSError):  # moving it raises the reason
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


def _not_removed(path: Path, reason: str) -> EnvironmentSetupFailed:
    return EnvironmentSetupFailed(
        f"{path} is left behind: {reason}",
        hint="look at it and remove it yourself",
        details={"path": str(path)},
    )
