"""Adopting and reaping: `hostler run` inherits every orphan, as the first process of a container does."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from typing import Any, cast

from hostler.process.tree.procfs import folder, links, list_children, list_folders, parse_stat, read
from hostler.process.tree.run_mark import read_mark

_PR_SET_CHILD_SUBREAPER = 36
_REST = 0.5  # seconds in which whoever waits for a child of his own has reaped it


class OrphanReaper:
    """Reaps adopted children that nobody else has reaped for a while; never those that `known` gives."""

    def __init__(self, known: Callable[[], Collection[int | None]]) -> None:
        self._known = known
        self._seen: set[int] = set()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def looks_soon(self) -> bool:
        """Whether it will look anyway."""
        return self._timer is not None

    def note_exit(self) -> None:
        """Look soon; called on SIGCHLD, on the event loop's thread."""
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_REST, self._reap)

    def _reap(self) -> None:
        self._timer = None
        try:
            ended = set(_ended_orphans(self._known()))
        except OSError:  # no descriptor is free: /proc cannot be read for now
            self.note_exit()
            return
        self._seen = ended - _reap(ended & self._seen)
        if self._seen:
            self.note_exit()


def adopt_orphans() -> bool:
    """Become the parent of what our descendants leave behind; False where the system cannot do that."""
    if sys.platform != "linux":  # pragma: other-system
        return False
    try:
        # Not ctypes, whose import holds up the start of the servers by 2 ms.
        from _ctypes import call_function, dlopen, dlsym  # noqa: PLC0415

        list_children()  # else adopted ones would cost more to find than they save
        prctl = dlsym(dlopen(cast("Any", None), 0), "prctl")
        return bool(call_function(prctl, (_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)) == 0)
    except (ImportError, OSError):
        return False


def list_zombies(parent: int, but: Collection[int | None] = ()) -> list[int]:
    """List the ended children of a process, `but` these, that nobody has waited for yet."""
    zombies = []
    for pid, path in _candidates():
        if pid in but:  # as most: hundreds of servers are not looked at after each crash
            continue
        with suppress(OSError):
            _, fields = parse_stat(read(f"{path}/stat"))
            if fields[0] == b"Z" and links(path, int(fields[1]), 0, 0)[0] == parent:
                zombies.append(pid)
    return zombies


def _ended_orphans(known: Collection[int | None]) -> Iterator[int]:
    session, mark = os.getsid(0), read_mark(os.getpid())
    for pid in list_zombies(os.getpid(), known):
        with suppress(OSError):  # somebody else has just reaped it
            # What is in our own session was started by a plugin or the host program, which waits for it;
            # unless it is marked: then it descends from a server, or from the companion command.
            if os.getsid(pid) != session or read_mark(pid) != mark:
                yield pid


def _reap(pids: Iterable[int]) -> set[int]:
    reaped = set()
    for pid in pids:
        with suppress(OSError):
            if os.waitpid(pid, os.WNOHANG)[0]:
                reaped.add(pid)
    return reaped


def _candidates() -> Iterator[tuple[int, str]]:
    """Our children with their folders, or everybody where they are not listed."""
    if sys.platform != "linux":  # pragma: other-system
        return
    try:
        yield from [(pid, folder(pid)) for pid in list_children()]
    except OSError:
        yield from ((pid, path) for pid, path, _ in list_folders())
