"""Digests of the watched files, so that a new time or new permissions alone are no change."""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Callable, Container, Iterator, Sequence
from hashlib import blake2b
from pathlib import Path

_LARGEST, _MOST = 1 << 20, 64 << 20  # bytes of a file, and of all: whoever watches more pays no more
_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
# Whoever can write there may put a pipe or a device in the place of a file at any moment: where the system
# can find a thing without opening it, it is opened only when it is known to be a file.
_FIND = (os.O_PATH | os.O_CLOEXEC) if sys.platform == "linux" else _FLAGS

_COARSE = 0.1  # seconds; the time of a file may be so much older than its last change


class Contents:
    """The digests of files that count. One that is not known has always changed."""

    def __init__(self) -> None:
        self._known: dict[str, bytes] = {}

    def learn(
        self, places: Sequence[Path], skip: Container[str], counts: Callable[[str], bool], at: float
    ) -> None:
        """Read what was there `at` this time (of the system's clock); slow, so on a thread."""
        left = _MOST
        for path in _files(places, skip):
            facts = _facts(path) if counts(path) else None
            if facts is not None and facts.st_mtime < at - _COARSE and facts.st_size <= left:
                left -= facts.st_size
                self._note(path)

    def __contains__(self, path: str) -> bool:
        return path in self._known

    def have_changed(self, path: str) -> bool:
        """Whether something else stands there than before; it is known from now on."""
        before = self._known.get(path)
        return self._note(path) != before or before is None

    def _note(self, path: str) -> bytes | None:
        digest = _digest(path)
        if digest is None:
            self._known.pop(path, None)
        else:
            self._known[path] = digest
        return digest


def _files(places: Sequence[Path], skip: Container[str]) -> Iterator[str]:
    for place in places:
        if place.is_file():
            yield str(place)
        for folder, folders, files in os.walk(place):
            folders[:] = [name for name in folders if name not in skip]
            yield from (os.path.join(folder, name) for name in files)  # noqa: PTH118 - many of them


def _facts(path: str) -> os.stat_result | None:
    """What is known of a file that is small enough to be read; None of everything else."""
    try:
        return _if_small(os.stat(path))  # noqa: PTH116
    except OSError:
        return None


def _if_small(facts: os.stat_result) -> os.stat_result | None:
    return facts if stat.S_ISREG(facts.st_mode) and facts.st_size <= _LARGEST else None


def _digest(path: str) -> bytes | None:
    try:
        found = os.open(path, _FIND)
    except OSError:
        return None

    try:
        facts = _if_small(os.fstat(found))
        return None if facts is None else blake2b(_read(found, facts.st_size), digest_size=16).digest()
    except OSError:
        return None
    finally:
        os.close(found)


def _read(found: int, size: int) -> bytes:
    """What stands in the file that was found, whatever has taken its place at the path meanwhile."""
    opened = os.open(f"/proc/self/fd/{found}", _FLAGS) if _FIND != _FLAGS else os.dup(found)
    with os.fdopen(opened, "rb") as file:
        return file.read(size)
