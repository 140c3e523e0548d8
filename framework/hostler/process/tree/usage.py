"""What each process of a server uses: memory, time of the processors, threads."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from hostler.model.values import ProcessUsage
from hostler.process.spawn.exits import Process
from hostler.process.tree.members import Member, find_tree
from hostler.process.tree.proc import folder
from hostler.process.tree.table import Table, read_times


def tree_usage(process: Process, table: Table, *, shared_once: bool = False) -> tuple[ProcessUsage, ...]:
    """Measure every living member of a server's tree, the largest first.

    With `shared_once` memory that n processes share counts an n-th for each: the kernel walks all pages
    for that (some milliseconds for a GiB). Whose pages may not be seen counts in full.
    """
    members = find_tree(process, table=table)
    used = (_use(member, shared_once=shared_once) for member in members)
    return tuple(sorted(used, key=lambda one: one.rss, reverse=True))


def _use(member: Member, *, shared_once: bool) -> ProcessUsage:
    share = _proportional(member.pid) if shared_once else None
    cpu, waited, threads = read_times(member.pid)
    return ProcessUsage(member.pid, member.name, member.rss if share is None else share, cpu, waited, threads)


def _proportional(pid: int) -> int | None:
    """The proportional set size in bytes (proc_pid_smaps_rollup, Linux 4.14); None where it is not told."""
    if sys.platform == "linux":
        with suppress(OSError):
            for line in Path(folder(pid), "smaps_rollup").read_bytes().splitlines():
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    return None
