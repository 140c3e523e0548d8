"""Removing a tree of files inside of folders that are ours to clean, however deep it is."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
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
            # Not resolve(), which raises at loops of links.
            real = Path(os.path.realpath(root))
            for name in (root, real):
                if name in path.parents and ".." not in path.parts:
                    _remove(real, path.relative_to(name).parts)
                    return True

    except FileNotFoundError:
        return False
    except OSError as error:
        raise _not_removed(path, error.strerror or str(error)) from error

    raise _not_removed(path, "it is in no temporary directory and in none of hostler's own")


def _remove(root: Path, parts: Sequence[str]) -> None:
    # By descriptors, so that nobody can swap a directory for a link on the way.
    with ExitStack() as opened:
        folder = opened.enter_context(_opened(root))
        for part in parts[:-1]:
            folder = opened.enter_context(_opened(part, folder))
        name = parts[-1]
        found = os.stat(name, dir_fd=folder, follow_symlinks=False)
        if found.st_uid != os.geteuid():
            raise _not_removed(root.joinpath(*parts), f"it belongs to user {found.st_uid}")
        if not stat.S_ISDIR(found.st_mode):
            os.unlink(name, dir_fd=folder)
            return
        with _opened(name, folder) as inner:
            _remove_contents(inner)
        os.rmdir(name, dir_fd=folder)


def _remove_contents(top: int) -> None:
    """Remove all that is in an open folder; links are removed, not followed. OSError where that cannot be."""
    # Each folder inside is first moved to the top. So its depth is limited neither by the stack nor by
    # descriptors, and a disk that somebody mounted inside is not emptied: a mount point cannot be moved.
    # Not shutil.rmtree: it holds a descriptor for each level (before Python 3.13 a stack frame, too), leaves
    # read-only folders behind, and empties what is mounted inside, which may be of the same device (--bind).
    with suppress(OSError):
        os.fchmod(top, 0o700)

    waiting = _move_up(top, top)
    while waiting:
        name = waiting.pop()
        with _opened(name, top) as inner:
            waiting += _move_up(inner, top)
        os.rmdir(name, dir_fd=top)


def _move_up(inner: int, top: int) -> list[str]:
    """Remove the files in `inner` and move its folders to `top`; their new names."""
    with os.scandir(inner) as found:
        entries = [(entry.name, entry.is_dir(follow_symlinks=False)) for entry in found]

    moved = []
    for name, is_folder in entries:
        if is_folder:
            # Caches of programs are read-only sometimes, and what is moved changes: its ".." is another.
            with suppress(OSError), _opened(name, inner) as folder:
                os.fchmod(folder, 0o700)
            moved.append(f"hostler-{os.urandom(8).hex()}")
            os.rename(name, moved[-1], src_dir_fd=inner, dst_dir_fd=top)
        else:
            os.unlink(name, dir_fd=inner)
    return moved


@contextmanager
def _opened(name: str | Path, parent: int | None = None) -> Iterator[int]:
    descriptor = os.open(name, _FOLDER, dir_fd=parent)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _not_removed(path: Path, reason: str) -> EnvironmentSetupFailed:
    return EnvironmentSetupFailed(
        f"{path} is left behind: {reason}",
        hint="look at it and remove it yourself",
        details={"path": str(path)},
    )
