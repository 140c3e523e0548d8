"""Handles of processes that are being stopped: what is held cannot be mistaken for another process."""

from __future__ import annotations

import os
import select
import signal
import time
from collections.abc import Callable, Collection, Iterable
from typing import Self

import anyio

from hostler.process.spawn.exits import Process, open_exit_fd, send_signal
from hostler.process.tree.members import Member
from hostler.process.tree.process_table import is_alive, start_time

_POLL_INTERVAL = 0.05  # only where there is no descriptor left to wait for


class ProcessHandles:
    """Holds members by descriptors that show their end; a context manager that closes them.

    `members` is all that was ever held. The `leader`, where there is one, is signalled by its `Process`, and
    held by its descriptor.
    `on_refused` gets the pid of each living one that we may not signal, once.
    """

    def __init__(
        self, leader: Process | None = None, on_refused: Callable[[int], None] | None = None
    ) -> None:
        self.members: set[Member] = set()
        self._on_refused = on_refused
        self._refused: set[Member] = set()
        self._leader = leader
        self._fds: dict[Member, int | None] = {}  # None for the leader, which has its own
        self._without_fd: set[Member] = set()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc_info: object) -> None:
        for member in tuple(self._fds):
            self.release(member)

    def hold(self, members: Iterable[Member]) -> None:
        """Open a descriptor of each that still lives; where none is left they are merely remembered."""
        for member in members:
            self.members.add(member)
            if member not in self._fds:
                self._take(member)

    def signal(self, member: Member, number: int) -> None:
        """Send a signal to one member, if it lives and may be signalled; a stopped one is woken up."""
        # SIGCONT follows always, as under systemd: who is stopped just now does not show as stopped yet.
        numbers = (number,) if number == signal.SIGKILL else (number, signal.SIGCONT)
        try:
            for each in numbers:
                if self._leader is not None and member.pid == self._leader.pid:
                    self._leader.send_signal(each)
                elif (fd := self._fds.get(member)) is not None:
                    send_signal(member.pid, fd, each)
                elif start_time(member.pid) == member.start_time:
                    os.kill(member.pid, each)
        except ProcessLookupError:
            pass
        except PermissionError:
            refused = member not in self._refused and is_alive(member.pid, member.start_time)
            if self._on_refused is not None and refused:
                self._refused.add(member)
                self._on_refused(member.pid)

    def living(self) -> list[Member]:
        """Those whose end has not come yet, wherever they are now."""
        return [one for one in {*self._fds, *self._without_fd} if is_alive(one.pid, one.start_time)]

    def release(self, member: Member) -> None:
        """Close the descriptor of one member."""
        fd = self._fds.pop(member)
        if fd is not None:
            os.close(fd)

    async def wait_for(self, members: Collection[Member]) -> None:
        """Wait until some who are held have ended, those without a descriptor too; cancellable."""
        await self.wait(members)
        unseen = self._without_fd.intersection(members)
        while any(is_alive(member.pid, member.start_time) for member in unseen):  # noqa: ASYNC110
            await anyio.sleep(_POLL_INTERVAL)

    async def wait(self, only: Collection[Member] | None = None) -> None:
        """Wait until all who are held, or `only` some of them, have ended; cancellable."""
        watched = [member for member in self._fds if only is None or member in only]
        if len(watched) == 1:
            await self._wait_end(watched[0])
            return
        async with anyio.create_task_group() as tasks:  # each at once: the end of one frees a descriptor
            for member in watched:
                tasks.start_soon(self._wait_end, member)
        if self._without_fd and not watched:
            await anyio.sleep(_POLL_INTERVAL)

    async def _wait_end(self, member: Member) -> None:
        leader = self._leader
        if leader is not None and member.pid == leader.pid and not leader.reaped:
            # With all others that end in the same turn of the loop: then one look serves them all.
            await leader.wait()
        elif (fd := self._fds[member]) is not None:
            await anyio.wait_readable(fd)
        self.release(member)

    def wait_here(self, seconds: float) -> None:
        """Wait the same way, blocking, for a limited time: for a program without a running loop."""
        until = time.monotonic() + seconds
        for member, own in tuple(self._fds.items()):
            fd = self._leader.exit_fd if own is None and self._leader is not None else own
            if fd is None or _is_readable(fd, until - time.monotonic()):
                self.release(member)

        if self._without_fd:
            time.sleep(min(seconds, _POLL_INTERVAL))

    def _holds_itself(self, member: Member) -> bool:
        """Whether it is the leader, whose `Process` has a descriptor of it."""
        leader = self._leader
        if leader is None or leader.exit_fd is None:
            return False
        return (member.pid, member.start_time) == (leader.pid, leader.start_time)

    def _take(self, member: Member) -> None:
        self._without_fd.discard(member)
        if self._holds_itself(member):
            self._fds[member] = None
            return
        try:
            fd = open_exit_fd(member.pid)
        except OSError:
            self._without_fd.add(member)
            return
        if fd is None:
            return

        self._fds[member] = fd
        # Only now that the descriptor is open, the pid cannot become another's.
        found = start_time(member.pid)
        if found != member.start_time:
            self.release(member)
        if not found:  # gone, or this took the last descriptor
            self._without_fd.add(member)


def _is_readable(fd: int, seconds: float) -> bool:
    poll = select.poll()  # not select(), which takes no descriptor above 1023
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(max(seconds, 0) * 1000))
