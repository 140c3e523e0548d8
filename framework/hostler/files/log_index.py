"""The index beside a log file: from which stream, run and time each part of it is.

A log file is for people; its index (".web.log.index" beside "web.log") is for programs that read it. It holds
a head and records of one size, each about the lines from an offset on. The head has a random id, by which a
place in the file is known whatever name the file has by then.
"""

from __future__ import annotations

import os
import stat
import struct
import time
from bisect import bisect_right
from collections.abc import Callable
from contextlib import suppress
from typing import Literal

MAGIC = b"hostler1"
HEAD = struct.Struct("<8s8sQ8sQ24x")
"""MAGIC, the id, the inode of the log file, the id before this one, and up to where that one holds."""
RECORD = struct.Struct("<QqIIB7x")
"""The offset, the time in microseconds, the run, the pid of its process (0: not known yet), and the kind."""

STREAMS = ("", "stdout", "stderr")
"""Streams by the lowest bits of a kind; "" where it is not known."""
STREAM, JSON, STAMPED, BEGAN = 0x0F, 0x10, 0x20, 0x80
"""Of a kind: its stream; lines are JSON objects, or begin with a time; a run begins here."""

EACH_BYTES = 64 * 1024
EACH_SECONDS = 0.1
_MOST_WAITING = 4096 * RECORD.size
_LOOKED_AT = 256 * RECORD.size
_INODE_AT = 16
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class LogIndex:
    """Writes the index of one log file, for the plugin that writes that file; used on one thread at a time.

    `run` is the generation of the launch. `pid` tells the pid of its process, None before there is one.
    `format` says what the lines are: text, "stamped" (each begins with a time), or JSON objects with
    "time", "server", "stream" and "line". No method raises OSError: a log is worth more than its index.
    """

    def __init__(
        self,
        run: int,
        *,
        format: Literal["text", "stamped", "json"] = "text",  # noqa: A002
        pid: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._run = run
        self._format = {"text": 0, "stamped": STAMPED, "json": JSON}[format]
        self._ask_pid = pid
        self._pid = 0
        self._fd = -1
        self._id = b""
        self._inode = 0
        self._end = 0  # of the records
        self._waiting = b""  # what found no room yet
        self._has_begun = False
        self._stream = ""
        self._offset = 0
        self._noted_at = 0.0
        self._written_at = 0.0
        self._noted = 0
        self._knew_pid = True

    def open(self, folder: int, name: str, log: int, size: int) -> None:
        """Go on with the index of an open log file of `size` bytes, or begin a new one.

        `folder` is a descriptor of its folder, `name` its name there. One that does not fit is replaced.
        """
        self.close()
        self._stream, self._waiting = "", b""
        try:
            self._inode = os.fstat(log).st_ino
            if not self._go_on(folder, index_name(name), log, size):
                self._begin(folder, index_name(name))
        except OSError:
            self.disown()
        if self._fd >= 0 and not self._has_begun:
            self._has_begun = True
            self._add(size, BEGAN)
            self._write()

    def is_due(self, stream: str, offset: int) -> bool:
        """Whether something is to be noted for output of this stream near this offset."""
        return (
            stream != self._stream
            or offset - self._offset >= EACH_BYTES
            or time.monotonic() - self._noted_at >= EACH_SECONDS
        )

    def note(self, stream: str, offset: int) -> None:
        """Before it is written: lines of this stream begin at this offset."""
        now = time.monotonic()
        if self._fd < 0 or not self.is_due(stream, offset):
            return
        # Of a flood of one stream nothing new is known: it waits for the rest of the 0.1 s.
        is_urgent = stream != self._stream or now - self._written_at >= EACH_SECONDS
        self._stream, self._offset, self._noted_at = stream, offset, now
        self._add(offset, STREAMS.index(stream))
        if is_urgent:
            self._written_at = now
            self._write()

    def cut(self, size: int) -> None:
        """The log file has only `size` bytes any more: places behind them are no longer valid."""
        if self._fd < 0:
            return
        self._stream = ""
        self._waiting = b"".join(
            RECORD.pack(*record) for record in RECORD.iter_unpack(self._waiting) if record[0] <= size
        )
        try:
            self._end = self._end_within(size)
            self._write_head(self._id, size)
            os.ftruncate(self._fd, self._end)
        except (OSError, struct.error):
            self.disown()

    def close(self) -> None:
        """Close the index, not its log."""
        if self._fd >= 0:
            if self._stream and not self._knew_pid:  # the output was faster than whoever spawned the process
                self._add(self._offset, STREAMS.index(self._stream), self._noted)
            self._write()
            self.disown()

    def disown(self) -> None:
        """Close it and write nothing more, as in a forked child."""
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1

    def _add(self, offset: int, kind: int, noted: int = 0) -> None:
        self._pid = self._pid or self._ask_pid() or 0
        self._knew_pid = bool(self._pid)
        self._noted = noted or time.time_ns() // 1000
        record = RECORD.pack(offset, self._noted, self._run, self._pid, kind | self._format)
        if len(self._waiting) < _MOST_WAITING:
            self._waiting += record
        else:  # a full disk: what is behind the first of them is of nobody knows which stream
            self._waiting = self._waiting[: RECORD.size - 8] + bytes(8)

    def _write(self) -> None:
        if not self._waiting:
            return
        try:
            written = os.pwrite(self._fd, self._waiting, self._end)
        except OSError:
            return
        if written == len(self._waiting):
            self._end += written
            self._waiting = b""

    def _go_on(self, folder: int, name: str, log: int, size: int) -> bool:
        """Open the index that is there; False where there is none that fits."""
        try:
            self._fd = os.open(name, _FLAGS, dir_fd=folder)
            found = os.fstat(self._fd)
            magic, self._id, named, *_ = HEAD.unpack(os.pread(self._fd, HEAD.size, 0))
        except (OSError, struct.error):
            return False
        if magic != MAGIC or named != self._inode or not is_private(found):
            return False
        self._end = end = HEAD.size + (found.st_size - HEAD.size) // RECORD.size * RECORD.size
        if not self._is_ordered(log):
            return False
        self._end = self._end_within(size)
        # A power cut may have taken lines whose places somebody has.
        if self._end < end or found.st_mtime < _booted_at():
            self._write_head(self._id, size)
        return True

    def _is_ordered(self, log: int) -> bool:
        """Whether the last records are those of this log: offsets of lines, one after the other."""
        start = max(HEAD.size, self._end - _LOOKED_AT)
        records = os.pread(self._fd, self._end - start, start)
        offsets = [record[0] for record in RECORD.iter_unpack(records)]
        is_line = not offsets or not offsets[-1] or os.pread(log, 1, offsets[-1] - 1) in {b"\n", b""}
        return is_line and all(map(int.__le__, offsets, offsets[1:]))

    def _begin(self, folder: int, name: str) -> None:
        self.disown()
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=folder)
        self._fd = os.open(name, _FLAGS | os.O_CREAT | os.O_EXCL, 0o600, dir_fd=folder)
        os.fchmod(self._fd, 0o600)  # whatever the umask
        self._end = HEAD.size
        self._write_head(bytes(8), 0)

    def _write_head(self, before: bytes, valid: int) -> None:
        self._id = os.urandom(8)
        os.pwrite(self._fd, HEAD.pack(MAGIC, self._id, self._inode, before, valid), 0)

    def _end_within(self, size: int) -> int:
        """The end of the records that are about the first `size` bytes."""
        if self._end > HEAD.size and self._offset_at(self._end - RECORD.size) <= size:
            return self._end  # as nearly always
        # By halves: of a log that somebody has emptied all are behind its end, and a start waits for this.
        places = range(HEAD.size, self._end, RECORD.size)
        return HEAD.size + bisect_right(places, size, key=self._offset_at) * RECORD.size

    def _offset_at(self, place: int) -> int:
        offset: int = RECORD.unpack(os.pread(self._fd, RECORD.size, place))[0]
        return offset

    @staticmethod
    def name_of(name: str) -> str:
        """The name of the index of a log file of this name."""
        return index_name(name)

    @staticmethod
    def rename(folder: int, old: str, new: str) -> None:
        """After a log file got a new name: its index follows."""
        with suppress(OSError):
            os.replace(index_name(old), index_name(new), src_dir_fd=folder, dst_dir_fd=folder)

    @staticmethod
    def remove(folder: int, name: str) -> None:
        """After a log file was removed: its index goes too."""
        with suppress(OSError):
            os.unlink(index_name(name), dir_fd=folder)

    @staticmethod
    def hand_over(folder: int, name: str, copy: str) -> None:
        """Before a log file is replaced by a compressed copy of it: its index is that of the copy."""
        with suppress(OSError):
            inode = os.stat(copy, dir_fd=folder, follow_symlinks=False).st_ino
            fd = os.open(index_name(name), _FLAGS, dir_fd=folder)
            try:
                os.pwrite(fd, inode.to_bytes(8, "little"), _INODE_AT)
            finally:
                os.close(fd)


def index_name(name: str) -> str:
    """The name of the index of a log file."""
    return f".{name}.index"


def is_private(found: os.stat_result) -> bool:
    """Whether it is a plain file of our own that nobody else reads or writes, with one name."""
    plain = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
    return plain and found.st_uid in {os.geteuid(), 0} and not found.st_mode & 0o077


def _booted_at() -> float:
    """When the system was started, by today's clock."""
    return time.time() - time.clock_gettime(getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC))
