"""Holding on to processes while they are stopped: a held one cannot be mistaken for another."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import time
from collections.abc import Callable, Collection, Iterable
from typing import Self

from hostler.process.spawn.exits import Process, open_exit_fd, send_signal
from hostler.process.tree.members import Member
from hostler.process.tree.table import read_row, start_time

_ASK_AGAIN = 0.05  # only where there is no descriptor left to be told by


class ProcessHandles:
    """Holds members by descriptors that tell their end; a context manager that lets go of them.

    `members` is all that was ever held. The `leader`, where there is one, is signalled by its own means.
    `on_refused` hears the pid of each living one that we may not signal, once.
    """

    def __init__(
        self, leader: Process | None = None, on_refused: Callable[[int], None] | None = None
    ) -> None:
        self.members: set[Member] = set()
        self._on_refused = on_refused
        self._refused: set[Member] = set()
        self._leader = leader
        self._fds: dict[Member, int] = {}
        self._without_fd: set[Member] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for member in tuple(self._fds):
            self.release(member)

    def hold(self, members: Iterable[Member]) -> None:
        """Take hold of those who still live; without descriptors they are merely remembered."""
        for member in members:
            self.members.add(member)
            if member not in self._fds:
                self._take(member)

    def signal(self, member: Member, number: int) -> None:
        """Send a signal to one member, if it lives and may be signalled; a stopped one is woken up.

        SIGCONT follows always, as under systemd: who is being stopped just now does not show as stopped yet.
        """
        numbers = (number,) if number == signal.SIGKILL else (number, signal.SIGCONT)
        try:
            for each in numbers:
                if self._leader is not None and member.pid == self._leader.pid:
                    self._leader.send_signal(each)
                elif member in self._fds:
                    send_signal(member.pid, self._fds[member], each)
                elif start_time(member.pid) == member.start_time:
                    os.kill(member.pid, each)
        except ProcessLookupError:
            pass
        except PermissionError:
            self._refuse(member)

    def _refuse(self, member: Member) -> None:
        row = read_row(member.pid)
        ended = row is None or row.state in "ZX" or row.start_time != member.start_time
        if self._on_refused is not None and member not in self._refused and not ended:
            self._refused.add(member)
            self._on_refused(member.pid)

    def release(self, member: Member) -> None:
        """Let go of one member."""
        os.close(self._fds.pop(member))

    async def wait_for(self, members: Collection[Member]) -> None:
        """Wait until some who are held have ended, those too that no descriptor tells of; cancellable."""
        await self.wait(members)
        while any(member in self._without_fd and _lives(member) for member in members):  # noqa: ASYNC110
            await asyncio.sleep(_ASK_AGAIN)

    async def wait(self, only: Collection[Member] | None = None) -> None:
        """Wait until all who are held, or `only` some of them, have ended; cancellable."""
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        watched = {member: fd for member, fd in self._fds.items() if only is None or member in only}

        def end(member: Member) -> None:
            loop.remove_reader(watched.pop(member))
            self.release(member)
            if not watched:
                ended.set()

        try:
            for member, fd in watched.items():
                loop.add_reader(fd, end, member)
            if watched:
                await ended.wait()
            elif self._without_fd:
                await asyncio.sleep(_ASK_AGAIN)
        finally:
            for fd in watched.values():
                loop.remove_reader(fd)

    def wait_here(self, seconds: float) -> None:
        """Wait the same way, blocking, for a limited time: for a program without a running loop."""
        until = time.monotonic() + seconds
        poll = select.poll()
        members = {fd: member for member, fd in self._fds.items()}
        for fd in members:
            poll.register(fd, select.POLLIN)

        while self._fds and (left := until - time.monotonic()) > 0:
            for fd, _ in poll.poll(left * 1000):
                poll.unregister(fd)
                self.release(members[fd])

        if self._without_fd:
            time.sleep(min(seconds, _ASK_AGAIN))

    def _take(self, member: Member) -> None:
        self._without_fd.discard(member)

        try:
            fd = open_exit_fd(member.pid)
        except OSError:
            self._without_fd.add(member)
            return

        if fd is None:
            return

        self._fds[member] = fd
        found = start_time(member.pid)
        if found != member.start_time:  # its pid is another's by now
            self.release(member)

        if not found:  # or nobody's, or this took the last descriptor
            self._without_fd.add(member)


def _lives(member: Member) -> bool:
    row = read_row(member.pid)
    return row is not None and row.start_time == member.start_time
