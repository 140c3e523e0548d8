"""Starts children where the kernel has few descriptors to close for each: 12,000 take 2 ms a spawn."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, cast

from hostler.process.tree.run_mark import SPAWN_THREAD_NAME

_CLONE_FILES = 0x400
_CLOSED_ON_EXEC = 0x40000000  # MSG_CMSG_CLOEXEC, which only Linux has


class SpawnThread:
    """A thread with a table of descriptors of its own, which gets those of each child when it starts it.

    It ends with this object, or with the process: so do its children that are to die with their parent.
    Made and used on one other thread. Raises OSError where the system has no such tables, or refuses one.
    """

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        for end in (self._ours, self._theirs):
            weakref.finalize(self, end.close)
        self._thread = ThreadPoolExecutor(1, SPAWN_THREAD_NAME)
        self._thread.submit(_leave_table, {self._theirs.fileno(), _wakeup_fd()}).result()

    def popen(
        self, argv: Sequence[str], *, stdin: int, stdout: int, stderr: int, **options: Any
    ) -> subprocess.Popen[bytes]:
        """Start a child as subprocess.Popen does; errors are those of it."""
        streams = (stdin, stdout, stderr)
        if subprocess.PIPE in streams:  # its other end has to be ours
            return subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr, **options)
        socket.send_fds(self._ours, [b"\0"], [one for one in streams if one >= 0])
        return self._thread.submit(self._start, argv, streams, options).result()

    def call(self, function: Callable[[], None]) -> None:
        """Call it on this thread, whose credentials are those of its children."""
        self._thread.submit(function).result()

    def _start(
        self, argv: Sequence[str], streams: Sequence[int], options: dict[str, Any]
    ) -> subprocess.Popen[bytes]:
        _, received, _, _ = socket.recv_fds(self._theirs, 1, len(streams), _CLOSED_ON_EXEC)
        try:
            left = iter(received)
            stdin, stdout, stderr = (next(left) if one >= 0 else one for one in streams)
            return subprocess.Popen(argv, stdin=stdin, stdout=stdout, stderr=stderr, **options)
        finally:
            for descriptor in received:
                os.close(descriptor)


def _wakeup_fd() -> int:
    """What is written to on each signal; -1 where that is nothing."""
    # By the thread that gets it: the end of a child is told to the one that has started it.
    try:
        found = signal.set_wakeup_fd(-1)
        signal.set_wakeup_fd(found, warn_on_full_buffer=False)
    except ValueError as error:
        raise OSError("the main thread alone knows what signals are written to") from error
    return found


def _leave_table(kept: set[int]) -> None:
    """Have the calling thread share descriptors with no other one, and keep the first three and `kept`."""
    if sys.platform != "linux":  # pragma: other-system
        raise OSError("all threads have the same descriptors")
    try:
        from _ctypes import call_function, dlopen, dlsym  # noqa: PLC0415 - see `adopt_orphans`
    except ImportError as error:
        raise OSError("no function of the system can be called") from error

    unshare = dlsym(dlopen(cast("Any", None), 0), "unshare")
    if call_function(unshare, (_CLONE_FILES,)) != 0:
        raise OSError("the system refuses a table of descriptors")

    begin = 3
    for number in sorted(one for one in kept if one >= begin):
        os.closerange(begin, number)
        begin = number + 1
    os.closerange(begin, os.sysconf("SC_OPEN_MAX"))
