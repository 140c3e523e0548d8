"""The process and the event loop that a supervisor belongs to. It may be used nowhere else."""

from __future__ import annotations

import asyncio
import os
import select
import selectors
import sys
import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

from hostler.errors import ServerError


def refuse_forked(pid: int) -> None:
    """Raise ServerError in a process that was forked from `pid`, the one that runs the servers."""
    if os.getpid() != pid:
        raise ServerError(
            f"this process (pid {os.getpid()}) was forked from the one that runs the servers (pid {pid})",
            hint="use it from that process, pass on url and pid, or run separate servers in this process",
        )


class LoopAffinity:
    """The process and the event loop in which a supervisor was entered, until it ends."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._thread = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._on_fork: Callable[[], None] | None = None

    def enter(self, on_fork: Callable[[], None]) -> None:
        """Belong to this process and the running loop; ServerError where that is not one of asyncio.

        `on_fork` is called in every forked child from now on, until this is left or nobody holds it.
        """
        self._loop = _running_loop()
        if self._loop is None:
            raise ServerError(
                "hostler runs on asyncio, and this is another event loop (trio?)",
                hint="use the synchronous API, with a loop of its own: with hostler.serve(...) as servers:",
            )

        self.pid, self._thread, self._on_fork = os.getpid(), threading.get_ident(), on_fork
        os.register_at_fork(after_in_child=partial(_in_child, weakref.ref(self)))

    def leave(self) -> None:
        """It has ended: nothing of it runs any more."""
        self._loop = self._on_fork = None

    @property
    def forked(self) -> bool:
        """Whether this process is a forked child of the one that runs the servers: it owns nothing."""
        return os.getpid() != self.pid

    def check(self) -> None:
        """Raise ServerError in a forked child, and where another event loop runs: there it would hang."""
        if self._loop is None:
            return
        refuse_forked(self.pid)
        if _running_loop() not in {None, self._loop}:
            raise ServerError(
                "it is used from another event loop than the one in which its supervisor was entered",
                hint="enter and use it within one asyncio.run; hostler.serve may be used from any thread",
            )

    @property
    def loop_runs_here(self) -> bool:
        """Whether the thread that asks is the loop's."""
        return self._thread == threading.get_ident()

    def forget_in_child(self) -> None:
        """In a forked child: take its copy of the loop apart from ours, and release everything."""
        if self._loop is not None and self._on_fork is not None:
            with suppress(OSError, AttributeError):
                _isolate(self._loop, runs_here=self.loop_runs_here)
            self._on_fork()


def _running_loop() -> asyncio.AbstractEventLoop | None:
    try:
        return asyncio.get_running_loop()
    except RuntimeError:
        return None


def _in_child(affinity: weakref.ref[LoopAffinity]) -> None:
    it = affinity()
    if it is not None:
        it.forget_in_child()


def _isolate(loop: Any, *, runs_here: bool) -> None:
    """Give the child's copy of a loop an epoll of its own, and a pipe that wakes it up."""
    # An epoll is shared over a fork: the parent would never see the events that the child takes out of it.
    # There is no public way to it; a loop that is not asyncio's own (uvloop) sees to this itself.
    selector = loop._selector  # noqa: SLF001
    if sys.platform == "linux" and isinstance(selector, selectors.EpollSelector):
        with select.epoll() as fresh:
            os.dup2(fresh.fileno(), selector.fileno(), inheritable=False)
    if runs_here:
        loop._close_self_pipe()  # noqa: SLF001
        loop._make_self_pipe()  # noqa: SLF001
