"""The index of a log file as programs read it."""

from __future__ import annotations

import errno
import os
import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple, TypeAlias

from hostler.files.log_index import (
    BEGAN,
    HEAD,
    JSON,
    MAGIC,
    RECORD,
    STAMPED,
    STREAM,
    STREAMS,
    index_name,
    is_private,
)

_WORDS = RECORD.size // 8
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
_NO_ROOM = {errno.EMFILE, errno.ENFILE}
_MOST = 256 * 2**20
_LAST = 2048 * RECORD.size
_HALF = 0xFFFFFFFF

Wanted: TypeAlias = Callable[[int, int, int], bool]


class LogMark(NamedTuple):
    """What is known of the lines from `offset` on.

    `time` is in microseconds, `run` the generation, `pid` that of its process (None where it is not known),
    `stream` "" where it is not known. `began`: a run begins here. The lines are JSON objects (`is_json`), or
    begin with a time (`is_stamped`), or are as they came.
    """

    offset: int
    time: int
    run: int
    pid: int | None
    stream: str
    began: bool
    is_json: bool
    is_stamped: bool


class LogMarks:
    """The marks of one log file, in the order of their offsets. `id` is what a place in the file is known by.

    A place by the id before, `old_id`, holds up to `old_valid`.
    """

    def __init__(self, head: bytes, records: bytes) -> None:
        magic, file_id, self.inode, old, self.old_valid = HEAD.unpack(head)
        if magic != MAGIC:
            raise ValueError("no index")
        self.id: str = file_id.hex()
        self.old_id: str = old.hex()
        self._words = array("Q", records[: len(records) // RECORD.size * RECORD.size])
        if sys.byteorder == "big":
            self._words.byteswap()

    def __len__(self) -> int:
        return len(self._words) // _WORDS

    def __getitem__(self, index: int) -> LogMark:
        offset, moment, who, kind = self._words[index * _WORDS : (index + 1) * _WORDS]
        return LogMark(
            offset,
            moment,
            who & _HALF,
            who >> 32 or None,
            STREAMS[kind & STREAM] if kind & STREAM < len(STREAMS) else "",
            bool(kind & BEGAN),
            bool(kind & JSON),
            bool(kind & STAMPED),
        )

    @classmethod
    def read(
        cls,
        folder: int,
        name: str,
        log: os.stat_result,
        size: int | None,
        places: Mapping[str, int] | None = None,
    ) -> LogMarks | None:
        """The marks of a log file of so many bytes (None: unknown); None without an index that is its own.

        With `places`, offsets by id, the last marks are enough where they are about all behind its place.
        Raises OSError where no more files can be opened.
        """
        try:
            fd = os.open(index_name(name), _READ, dir_fd=folder)
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise
            return None
        try:
            found = os.fstat(fd)
            if not is_private(found) or found.st_size > _MOST:
                return None
            head = os.pread(fd, HEAD.size, 0)
            marks = cls(head, _last_records(fd, found.st_size) if places else b"")
            place = (places or {}).get(marks.id)
            if place is None or not len(marks) or marks._offset(0) > place:
                marks = cls(head, os.pread(fd, found.st_size, HEAD.size))
        except (OSError, ValueError, struct.error):
            return None
        finally:
            os.close(fd)
        fits = marks.inode == log.st_ino and marks._is_ordered()
        return marks if fits and (size is None or marks._last_offset() <= size) else None

    def at(self, offset: int) -> int:
        """The index of the mark that is about the line at this offset; -1 where none is."""
        return bisect_right(range(len(self)), offset, key=self._offset) - 1

    def extent(self, index: int) -> tuple[int, int]:
        """Between which offsets a mark is the one that counts; index -1: before the first."""
        following = index + 1 < len(self)
        return (
            self._offset(index) if index >= 0 else 0,
            self._offset(index + 1) if following else sys.maxsize,
        )

    def runs(self, start: int, end: int) -> Iterator[LogMark]:
        """The marks between two offsets, both included, at which a run begins."""
        first = bisect_left(range(len(self)), start, key=self._offset)
        kinds = self._words[first * _WORDS + 3 : (self.at(end) + 1) * _WORDS : _WORDS]
        for index, kind in enumerate(kinds, first):
            if kind & BEGAN:
                yield self[index]._replace(pid=self.pid_of(index))

    def earliest(self, start: int) -> int:
        """The earliest time of a mark from an offset on; sys.maxsize where none is."""
        first = bisect_left(range(len(self)), start, key=self._offset)
        return min(self._words[first * _WORDS + 1 :: _WORDS], default=sys.maxsize)

    def ranges(self, start: int, end: int, wanted: Wanted) -> list[tuple[int, int]]:
        """The parts of the file between two offsets whose time, run and kind are wanted.

        Lines before the first mark, of which nothing is known, are not among them.
        """
        words, found = self._words, list[tuple[int, int]]()
        columns = (words[at::_WORDS] for at in range(_WORDS))
        ends = [*words[_WORDS::_WORDS], end]
        for offset, moment, who, kind, stop in zip(*columns, ends, strict=False):
            first, last = max(offset, start), min(stop, end)
            if first >= last or not wanted(moment, who & _HALF, kind):
                continue
            if found and found[-1][1] == first:
                first = found.pop()[0]
            found.append((first, last))
        return found

    def pid_of(self, index: int) -> int | None:
        """The pid of the process of that run, which the first marks of a run may not know yet."""
        run = self[index].run
        for later in range(index, len(self)):
            mark = self[later]
            if mark.run != run or (mark.began and later > index):
                return None
            if mark.pid is not None:
                return mark.pid
        return None

    def _offset(self, index: int) -> int:
        return self._words[index * _WORDS]

    def _last_offset(self) -> int:
        return self._offset(len(self) - 1) if len(self) else 0

    def _is_ordered(self) -> bool:
        offsets = self._words[::_WORDS]
        return all(map(int.__le__, offsets, offsets[1:]))


def _last_records(fd: int, size: int) -> bytes:
    count = (size - HEAD.size) // RECORD.size
    start = HEAD.size + max(0, count - _LAST // RECORD.size) * RECORD.size
    return os.pread(fd, size - start, start)
