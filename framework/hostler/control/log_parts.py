"""The files that a server's log consists of, from the newest on, as they are on disk at one moment."""

from __future__ import annotations

import os
import stat
import time
import zlib
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import IO

from hostler import LogIndex, LogMarks, trusted_folder

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_MISSING = 2  # numbers in a row: while files are renamed, one is
_BLOCK = 64 * 1024
_LONG = 1024 * 1024  # more without a line end is not waited for
_IN_MEMORY = 64 * 2**20
_MOMENT = 0.001


class LogPart:
    """One file of a log, while it is open. `marks` is None where its index is missing or not its own."""

    def __init__(
        self, fd: int, found: os.stat_result, marks: LogMarks | None, *, newest: bool, compressed: bool
    ) -> None:
        self._fd = fd
        self._newest = newest
        self._size = found.st_size
        self._compressed = compressed
        self._unpacked: IO[bytes] | None = None
        self._first_line_id = ""
        self.marks = marks
        self.identity = (found.st_dev, found.st_ino)
        self.changed_at = found.st_mtime

    def close(self) -> None:
        """Close it; a second time does nothing."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
        if self._unpacked is not None:
            self._unpacked.close()

    @property
    def id(self) -> str:
        """What a place in it is known by; without an index that is made from its first line."""
        if self.marks is not None:
            return self.marks.id
        if not self._first_line_id:
            line, end, _ = self.read(0, 1024).partition(b"\n")
            self._first_line_id = f"x{blake2b(line, digest_size=8).hexdigest()}" if end else "x"
        return self._first_line_id

    @property
    def size(self) -> int:
        """How many bytes it had when it was opened."""
        self._unpack()
        return self._size

    def read(self, offset: int, size: int) -> bytes:
        """Some bytes of it; fewer at its end."""
        self._unpack()
        if self._unpacked is None:
            return os.pread(self._fd, size, offset)
        self._unpacked.seek(offset)
        return self._unpacked.read(size)

    def place_of(self, places: Mapping[str, int]) -> int | None:
        """The offset of the one of these places that is in this file; None where none is."""
        offset = places.get(self.id)
        if offset is None and self.marks is not None and self.marks.old_id in places:
            offset = min(places[self.marks.old_id], self.marks.old_valid)
        return offset if offset is None or self._compressed or offset <= self._size else None

    def end(self) -> int:
        """The end of its last whole line; of what was rotated away all lines are."""
        if not self._newest:
            return self.size
        end = self.size
        while end > 0 and self.size - end < _LONG:
            start = max(0, end - _BLOCK)
            cut = self.read(start, end - start).rfind(b"\n") + 1
            if cut:
                return start + cut
            end = start
        return 0 if self.size < _LONG else self.size

    def _unpack(self) -> None:
        if not self._compressed or self._unpacked is not None:
            return
        import gzip  # noqa: PLC0415 - few read as far back, of few logs
        from tempfile import SpooledTemporaryFile  # noqa: PLC0415

        target = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed with the part
        file = os.fdopen(os.dup(self._fd), "rb")
        with suppress(OSError, EOFError, zlib.error), file, gzip.GzipFile(fileobj=file) as packed:
            while piece := packed.read(_LONG):
                target.write(piece)
        self._size, self._unpacked = target.tell(), target


@contextmanager
def open_parts(
    path: Path, places: Mapping[str, int] | None = None
) -> Iterator[Generator[LogPart, None, None]]:
    """Open the files of a log one by one as they are asked for, the newest first; none where there is no log.

    Only the last one that was given is open, and their folder until no more is asked for, or they are closed.
    With `places` only what is behind these is to be read.
    """
    with ExitStack() as stack:
        yield _parts(path, places, stack)


def fingerprint(path: Path) -> tuple[int, ...]:
    """What changes whenever something is written to a log, or a run begins; nothing is opened for it."""
    found: list[int] = []
    for one in (path, path.with_name(LogIndex.name_of(path.name))):
        try:
            state = os.stat(one, follow_symlinks=False)  # noqa: PTH116 - it is called often
        except OSError:
            found += (0, 0)
        else:
            found += (state.st_ino, state.st_size)
    return tuple(found)


def _parts(path: Path, places: Mapping[str, int] | None, stack: ExitStack) -> Generator[LogPart, None, None]:
    with ExitStack() as opened:
        try:
            folder = opened.enter_context(trusted_folder(path.parent))
        except OSError:
            return
        yield from _parts_in(folder, path.name, places, stack)


def _parts_in(
    folder: int, name: str, places: Mapping[str, int] | None, stack: ExitStack
) -> Iterator[LogPart]:
    """Files get higher numbers while we look, so none is passed over, but one may come twice."""
    seen: set[tuple[int, int]] = set()
    given: LogPart | None = None
    number = missing = 0
    while missing <= _MOST_MISSING:
        part = _opened(folder, f"{name}.{number}" if number else name, places, newest=not number)
        missing = 0 if part else missing + 1
        number += 1
        if part is not None:
            stack.callback(part.close)
            if part.identity not in seen:
                seen.add(part.identity)
                if given is not None:
                    given.close()
                given = part
                yield part


def _opened(folder: int, name: str, places: Mapping[str, int] | None, *, newest: bool) -> LogPart | None:
    """The file of this name. Its index gets its new name a moment later, so there is a second look."""
    part = _open(folder, name, places, newest=newest)
    if part is not None and part.marks is None:
        part.close()
        time.sleep(_MOMENT)
        part = _open(folder, name, places, newest=newest)
    return part


def _open(folder: int, name: str, places: Mapping[str, int] | None, *, newest: bool) -> LogPart | None:
    """The file of this name, plain or compressed; where both are there, the one that its index is about."""
    found: list[LogPart] = []
    for suffix in ("", ".gz"):
        try:
            fd = os.open(f"{name}{suffix}", _READ, dir_fd=folder)
        except OSError:
            continue
        state = os.fstat(fd)
        if not stat.S_ISREG(state.st_mode):
            os.close(fd)
            continue
        marks = LogMarks.read(folder, name, state, None if suffix else state.st_size, places)
        found.append(LogPart(fd, state, marks, newest=newest, compressed=bool(suffix)))
        if marks is not None:
            break
    chosen = None if not found else found[-1] if found[-1].marks else found[0]
    for part in found:
        if part is not chosen:
            part.close()
    return chosen
