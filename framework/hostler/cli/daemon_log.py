"""daemon.log: what a hostler in the background prints, kept to a few files of a bounded size."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterable, Sequence
from contextlib import suppress
from typing import Any, TextIO, cast

LARGEST = 5 * 2**20
"""Bytes of one file."""

KEPT = 3
"""How many older ones are kept: daemon.log.1 is the newest of them."""

_OPEN = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC


def open_log(path: str) -> int:
    """Open it for appending, as a private file. Raises OSError."""
    return os.open(path, _OPEN, 0o600)


def shift(path: str) -> None:
    """Make room for a new file at this path. Raises OSError."""
    for number in reversed(range(KEPT)):
        with suppress(FileNotFoundError):
            older = f"{path}.{number + 1}"
            os.replace(f"{path}.{number}" if number else path, older)  # noqa: PTH105 - clients need no pathlib


class DaemonLog:
    """The log behind descriptors of this process, such as stdout and stderr: `look` begins new files.

    Whoever writes to them goes on in the new file. Where that cannot be made, the old one grows on.
    """

    def __init__(self, path: str, descriptors: Sequence[int]) -> None:
        self._path = path
        self._descriptors = descriptors
        self._largest = LARGEST
        self._lock = threading.Lock()

    def look(self) -> None:
        """Begin a new file where this one is large enough. Called after each line; from any thread."""
        with suppress(OSError):
            size = os.fstat(self._descriptors[0]).st_size
            if size < self._largest or not self._lock.acquire(blocking=False):
                return
            try:
                # Whether that is possible or not: not again with the next line.
                self._largest = size + LARGEST
                self._begin()
                self._largest = LARGEST
            finally:
                self._lock.release()

    def _begin(self) -> None:
        here = os.fstat(self._descriptors[0])
        with suppress(FileNotFoundError):
            there = os.lstat(self._path)
            # Somebody may have moved ours away, as logrotate does.
            if (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino):
                shift(self._path)
        new = open_log(self._path)
        try:
            for descriptor in self._descriptors:
                os.dup2(new, descriptor)
        finally:
            os.close(new)


class _Watched:
    """A stream to the log."""

    def __init__(self, stream: TextIO, log: DaemonLog) -> None:
        self._stream = stream
        self._log = log

    def write(self, text: str) -> int:
        """Write, and look."""
        written = self._stream.write(text)
        if text.endswith("\n"):
            self._stream.flush()
            self._log.look()
        return written

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each as `write` does."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def keep_bounded(path: str) -> None:
    """Have what this process prints bounded: stdout and stderr are the log at `path`.

    No time passes and nothing is looked at unless something is printed.
    """
    log = DaemonLog(path, (sys.stdout.fileno(), sys.stderr.fileno()))
    sys.stdout = cast("TextIO", _Watched(sys.stdout, log))
    sys.stderr = cast("TextIO", _Watched(sys.stderr, log))
