"""Reaping for others: as the first process of a container hostler inherits every orphan."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress

from hostler.process.tree.table import list_zombies


def reap_strangers(known: Callable[[int], bool]) -> list[int]:
    """Reap the ended children that we did not start ourselves; returns their pids. Never blocks.

    `known` tells which pids are watched by somebody here. Children in our own session are left alone
    too: a plugin or the host program started them, and waits for them.
    """
    reaped = []
    for pid in list_zombies(os.getpid()):
        if known(pid) or _in_our_session(pid):
            continue
        with suppress(ChildProcessError):
            if os.waitpid(pid, os.WNOHANG)[0]:
                reaped.append(pid)
    return reaped


def _in_our_session(pid: int) -> bool:
    try:
        return os.getsid(pid) == os.getsid(0)
    except OSError:
        return True  # somebody else has just reaped it
