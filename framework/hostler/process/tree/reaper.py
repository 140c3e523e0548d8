"""Reaping for others: as the first process of a container hostler inherits every orphan."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress

from hostler.process.tree.procfs import links, list_folders, parse_stat, read


def reap_orphans(known: Callable[[int], bool]) -> list[int]:
    """Reap the ended children that nobody here started, or is `known` to watch; their pids. Never blocks."""
    reaped = []
    for pid in list_zombies(os.getpid()):
        with suppress(OSError):  # somebody else has just reaped it
            # What is in our own session was started by a plugin or the host program, which waits for it.
            ours = known(pid) or os.getsid(pid) == os.getsid(0)
            if not ours and os.waitpid(pid, os.WNOHANG)[0]:
                reaped.append(pid)
    return reaped


def list_zombies(parent: int) -> list[int]:
    """List the ended children of a process that nobody has waited for yet."""
    zombies = []
    for pid, path, _ in list_folders() if sys.platform == "linux" else ():
        with suppress(OSError):
            _, fields = parse_stat(read(f"{path}/stat"))
            if fields[0] == b"Z" and links(path, int(fields[1]), 0, 0)[0] == parent:
                zombies.append(pid)
    return zombies
