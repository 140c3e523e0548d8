"""The lock of a log file: one server alone writes to it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from pathlib import Path


def lock_file(fd: int, path: Path, patience: float) -> None:
    """Lock an open log file, waiting so many seconds for another writer. OSError names that process."""
    deadline = time.monotonic() + patience

    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline:
                raise OSError(errno.EBUSY, f"{_holder(fd)} writes to it", str(path)) from None
        except OSError:  # pragma: other-system - a file system without locks
            return
        else:
            return
        time.sleep(0.02)  # a child that is just being spawned may still hold the lock of the last run


def _holder(fd: int) -> str:
    """Who holds the lock, as far as the system shows it."""
    inode = str(os.fstat(fd).st_ino)
    with contextlib.suppress(OSError, ValueError):
        for line in Path("/proc/locks").read_text().splitlines():
            words = line.split()
            if "FLOCK" in words and words[5].rpartition(":")[2] == inode:
                return _named(int(words[4]))
    return "another process"  # pragma: other-system


def _named(pid: int) -> str:
    if pid == os.getpid():
        return "another server of this hostler"
    return f"process {pid} ({Path(f'/proc/{pid}/comm').read_text().strip()})"
