"""The files that a server's log consists of, from the newest on, as they are on disk at one moment."""

from __future__ import annotations

import os
import stat
import sys
import time
from collections.abc import Generator, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from hashlib import blake2b
from pathlib import Path
from typing import IO, NamedTuple

from hostler import LogIndex, LogMarks, trusted_folder
from hostler.control.compressed_log import CompressedLog
from hostler.control.shortage import NO_DESCRIPTOR

_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_MOST_MISSING = 2  # numbers in a row: while files are renamed, one is
_BLOCK = 64 * 1024
_FIRST_LINE = 1024  # more of it does not count
_LONG = 1024 * 1024  # more without a line end is not waited for
_IN_MEMORY = 64 * 2**20
_MOMENT = 0.001


class PartGone(Exception):
    """A file that rested is not found any more: it was removed, or compressed."""


class PartName(NamedTuple):
    """The name of a file of a log; `number` 0 has the newest output."""

    log: Path
    number: int
    suffix: str = ""

    @property
    def plain(self) -> str:
        """The name that its index is made from."""
        return f"{self.log.name}.{self.number}" if self.number else self.log.name


class LogPart:
    """One file of a log, while it is open. `marks` is None where its index is missing or not its own.

    `gone_at` is the offset at which it was to be read on when it was gone, None while it was there.
    """

    def __init__(self, fd: int, name: PartName, found: os.stat_result, marks: LogMarks | None) -> None:
        self._fd = fd
        self._name = name
        self._size = found.st_size
        self._compressed = CompressedLog() if name.suffix else None
        self._unpacked: IO[bytes] | None = None
        self._id_of_line: str | None = None
        self.marks = marks
        self.identity = _identity(found)
        self.changed_at = found.st_mtime
        self.gone_at: int | None = None

    def close(self) -> None:
        """Close it; a second time does nothing."""
        self.rest()
        if self._unpacked is not None:
            self._unpacked.close()

    def rest(self) -> None:
        """Close its file until more of it is read, whatever its name is by then."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    @property
    def id(self) -> str:
        """What a place in it is known by; "" before it has its first line, where it has no index.

        Without an index it is made from the name of the log and that line.
        """
        return self._id_without_index() if self.marks is None else self.marks.id

    def _id_without_index(self) -> str:
        if self._id_of_line is None:
            data = self.read(0, _FIRST_LINE)
            line, end, _ = data.partition(b"\n")
            digest = blake2b(line, digest_size=8, key=os.fsencode(self._name.log.name)[-64:]).hexdigest()
            self._id_of_line = f"x{digest}" if end or len(data) == _FIRST_LINE else ""
        return self._id_of_line

    def is_that(self, identity: tuple[int, int], file_id: str) -> bool:
        """Whether it is the file that was known by these: another one can have its inode by now."""
        if self.identity != identity:
            return False
        return file_id == self.id or self._id_without_index() == file_id

    def detach(self) -> int:
        """Its descriptor, which is the caller's from now on."""
        fd, self._fd = self._fd, -1
        return fd

    @property
    def size(self) -> int:
        """How many bytes it had when it was opened."""
        self._unpack()
        return self._size

    def read(self, offset: int, size: int) -> bytes:
        """Some bytes of it; fewer at its end. Raises PartGone where it rested and is gone."""
        if self._unpacked is not None:
            self._unpacked.seek(offset)
            return self._unpacked.read(size)
        if self._fd < 0:
            self._fd = _open_again(self._name.log, self.identity, self.id)
        if self._fd < 0:
            self.gone_at = offset
            raise PartGone
        if self._compressed is not None:
            return self._compressed.read(self._fd, offset, size)
        return os.pread(self._fd, size, offset)

    def place_of(self, places: Mapping[str, int]) -> int | None:
        """The offset of the one of these places that is in this file; None where none is."""
        offset = places.get(self.id)
        if offset is None and self.marks is not None and self.marks.old_id in places:
            offset = min(places[self.marks.old_id], self.marks.old_valid)
        is_there = offset is None or self._compressed is not None or offset <= self._size
        return offset if is_there else None

    def limit(self) -> int:
        """An offset that nothing in it is behind: its size, where it need not be unpacked for that."""
        return self._size if self._compressed is None else sys.maxsize

    def end(self) -> int:
        """The end of its last whole line; of what was rotated away all lines are."""
        if self._name.number:
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
        if self._compressed is None or self._unpacked is not None:
            return
        from tempfile import SpooledTemporaryFile  # noqa: PLC0415 - few read as far back

        target = SpooledTemporaryFile(_IN_MEMORY)  # noqa: SIM115 - closed with the part
        while piece := self._compressed.read(self._fd, target.tell(), _LONG):
            target.write(piece)
        self._size, self._unpacked = target.tell(), target


@contextmanager
def open_parts(
    path: Path, places: Mapping[str, int] | None = None
) -> Iterator[Generator[LogPart, None, None]]:
    """Open the files of a log one by one as they are asked for, the newest first; none where there is no log.

    Only the last one that was given is open, and their folder until no more is asked for, or they are closed.
    With `places` only what is behind these is to be read. Raises OSError where no more files can be opened.
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
        except OSError as error:
            _check_room(error)
            return
        yield from _parts_in(folder, path, places, stack)


def _parts_in(
    folder: int, path: Path, places: Mapping[str, int] | None, stack: ExitStack
) -> Iterator[LogPart]:
    """Files get higher numbers while we look, so none is passed over, but one may come twice."""
    seen: set[tuple[int, int]] = set()
    number = missing = 0
    while missing <= _MOST_MISSING:
        part = _opened(folder, path, number, places)
        missing = 0 if part else missing + 1
        number += 1
        if part is None:
            continue
        if part.identity in seen:
            part.close()
            continue
        seen.add(part.identity)
        stack.pop_all().close()  # the one that was given before
        stack.callback(part.close)
        yield part


def _opened(folder: int, path: Path, number: int, places: Mapping[str, int] | None) -> LogPart | None:
    """The file of this number. Its index gets its new name a moment later, so there is a second look."""
    part = _plain_or_compressed(folder, path, number, places)
    if part is not None and part.marks is None:
        part.close()
        time.sleep(_MOMENT)
        part = _plain_or_compressed(folder, path, number, places)
    return part


def _plain_or_compressed(
    folder: int, path: Path, number: int, places: Mapping[str, int] | None
) -> LogPart | None:
    """The file of this number; where both are there, the one that its index is about."""
    plain = _open(folder, PartName(path, number), places)
    if plain is not None and plain.marks is not None:
        return plain
    try:
        packed = _open(folder, PartName(path, number, ".gz"), places)
    except OSError:
        if plain is not None:
            plain.close()
        raise
    if plain is None or packed is None:
        return plain or packed
    chosen, other = (plain, packed) if packed.marks is None else (packed, plain)
    other.close()
    return chosen


def _open(folder: int, name: PartName, places: Mapping[str, int] | None) -> LogPart | None:
    """The file of this name; None where there is none for us."""
    try:
        fd = os.open(name.plain + name.suffix, _READ, dir_fd=folder)
    except OSError as error:
        _check_room(error)
        return None
    with ExitStack() as unless_given:
        unless_given.callback(os.close, fd)
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode):
            return None
        marks = LogMarks.read(folder, name.plain, found, None if name.suffix else found.st_size, places)
        unless_given.pop_all()
        return LogPart(fd, name, found, marks)


def _open_again(path: Path, identity: tuple[int, int], file_id: str) -> int:
    """A descriptor of this file of a log; -1 where none is it. None is passed over, as in `_parts_in`."""
    try:
        with trusted_folder(path.parent) as folder:
            for name in _names(folder, path, identity):
                # The last marks are enough to know it by.
                part = _open(folder, name, {file_id: sys.maxsize})
                if part is not None and part.is_that(identity, file_id):
                    return part.detach()
                if part is not None:
                    part.close()
    except OSError as error:
        _check_room(error)
    return -1


def _names(folder: int, path: Path, identity: tuple[int, int]) -> Iterator[PartName]:
    """The names that a file has, each when it has it."""
    number = missing = 0
    while missing <= _MOST_MISSING:
        missing += 1
        for name in (PartName(path, number), PartName(path, number, ".gz")):
            found: os.stat_result | None = None
            with suppress(OSError):
                found = os.stat(name.plain + name.suffix, dir_fd=folder, follow_symlinks=False)
            missing = 0 if found else missing
            if found and _identity(found) == identity:
                yield name
        number += 1


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino


def _check_room(error: OSError) -> None:
    """Raise the error where it says nothing of the file."""
    if error.errno in NO_DESCRIPTOR:
        raise error
