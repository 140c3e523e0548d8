"""The limit of open files: ours is raised when many servers need it, theirs stays as it was."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from hostler.process.spawn.privileges import limit_prefix
from hostler.process.spawn.spawn import Popen, explain

if TYPE_CHECKING:
    from hostler.process.spawn.spawn_thread import SpawnThread

_FEW = 512
_MOST = 2**19  # as under systemd: what we start to look at something may go through all numbers
_MANY = 1024  # take a spawn 0.1 ms more
_EACH_START = 32  # of the limit; some ten are open while a server starts
_KEPT = 6  # a client that stops the servers, and the module that it needs


def starts_at_a_time(most: int) -> int:
    """How many servers may start at a time, `most` or fewer: else each would leave too few to the others."""
    soft = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return most if soft == resource.RLIM_INFINITY else max(1, min(most, soft // _EACH_START))


class DescriptorLimit:
    """The soft limit of this process, which nobody changes before `allow`.

    `popen` is what to start children with: the kernel copies, and closes, all descriptors for each of them.
    """

    def __init__(self) -> None:
        self._keeps = 0
        self._raise_from = self._spawn_apart_from = sys.maxsize
        self.option = ""
        self.popen: Popen = subprocess.Popen
        self._thread: SpawnThread | None = None

    def allow(self) -> None:
        """Raise it when half of it is used, or at once where it is low: to the hard limit.

        From now on `require` keeps some for whoever talks to hostler.
        """
        self._keeps = _KEPT
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        # Servers keep it, as programs may depend on it (select): nothing is raised where that cannot be done.
        if soft != hard and soft < _MOST and limit_prefix("--nofile"):
            self._raise_from = soft // 2
            self.note(soft if soft < _FEW else None)

    def spawn_apart(self) -> None:
        """Start children from a thread that has few descriptors once there are many.

        That is for a program which has set all its signal handlers: the ends of the children wake it.
        """
        self._spawn_apart_from = _MANY

    def call_where_children_start(self, function: Callable[[], None]) -> None:
        """Call it on each thread that starts children: they inherit what it changes of the thread."""
        function()
        if self._thread is not None:
            self._thread.call(function)

    def note(self, descriptor: int | None) -> None:
        """Take note of a new descriptor: the lowest free numbers are given out first."""
        if descriptor is not None and descriptor >= self._spawn_apart_from:
            self._spawn_apart_from = sys.maxsize
            self._begin_thread()
        if descriptor is None or descriptor < self._raise_from:
            return
        self._raise_from = sys.maxsize
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (min(hard, _MOST), hard))
            self.option = f"--nofile={soft}:"

    def _begin_thread(self) -> None:
        """Start children from a thread that has few descriptors, where that can be done."""
        from hostler.process.spawn.spawn_thread import SpawnThread  # noqa: PLC0415 - hundreds of servers need it

        with suppress(OSError, RuntimeError):  # no descriptor or no thread is left, or the system has no such
            self._thread = SpawnThread()
            self.popen = self._thread.popen

    def require(self, argv: Sequence[str]) -> None:
        """Before a server is started anew: raise ProcessSpawnFailed where too few would be left."""
        free: list[int] = []
        try:
            for _ in range(self._keeps):
                free.append(os.dup(free[0]) if free else os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
        except OSError as error:
            raise explain(error, argv[0]) from error
        finally:
            for descriptor in free:
                os.close(descriptor)

    def prefix(self) -> list[str]:
        """What stands in front of a command that is to have the soft limit that we had."""
        return limit_prefix(self.option)
