"""Files that people name, read with bounds: whatever stands at a path, reading it ends."""

from __future__ import annotations

import errno
import os
import re
import select
import stat
import time
from pathlib import Path

_FLAGS = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC  # neither a pipe nor a terminal holds us up
STDIN = "-"  # what people write for standard input where the path of a file is expected

_OF_OURS = re.compile(r"/dev/stdin|/dev/fd/\d+|/proc/(self|thread-self|\d+)/fd/\d+")
_PIPE_TIMEOUT = 10.0  # seconds: whoever holds the other end may never write, nor close it


def read_plain(path: Path, most: int) -> tuple[bytes, int]:
    """At most `most` bytes of a file, and its mode. Raises OSError as `open` does, and for what is no file.

    A pipe that we were given, such as standard input ("-") or `<(command)` of a shell, is read to its end
    within 10 s.
    """
    descriptor = os.dup(0) if str(path) == STDIN else os.open(path, _FLAGS)
    try:
        mode = os.fstat(descriptor).st_mode
        if stat.S_ISDIR(mode):
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
        if (stat.S_ISFIFO(mode) or stat.S_ISSOCK(mode)) and is_handed_over(path):
            return read_pipe(descriptor, most, _PIPE_TIMEOUT), mode
        if not stat.S_ISREG(mode):
            raise OSError(errno.EINVAL, f"it is {_kind(mode)}, not a file", str(path))
        return _read(descriptor, most), mode
    finally:
        os.close(descriptor)


def is_handed_over(path: Path) -> bool:
    """Whether a path names what we were given open: standard input, or a descriptor."""
    return str(path) == STDIN or _OF_OURS.fullmatch(str(path)) is not None


def _kind(mode: int) -> str:
    if stat.S_ISFIFO(mode):
        return "a named pipe (FIFO)"
    return "a socket" if stat.S_ISSOCK(mode) else "a device"


def _read(descriptor: int, most: int) -> bytes:
    pieces = []
    while most > 0 and (piece := os.read(descriptor, most)):
        pieces.append(piece)
        most -= len(piece)
    return b"".join(pieces)


def read_pipe(descriptor: int, most: int, seconds: float) -> bytes:
    """Read a pipe to its end, at most `most` bytes. TimeoutError when that takes longer than `seconds`."""
    deadline = time.monotonic() + seconds
    poll = select.poll()  # unlike select it knows descriptors above 1024
    poll.register(descriptor, select.POLLIN)
    data = b""
    while len(data) < most:
        if not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
            raise TimeoutError(errno.ETIMEDOUT, f"the pipe was not closed within {seconds:g} s")
        piece = os.read(descriptor, min(most - len(data), 2**16))
        if not piece:
            break
        data += piece

    return data
