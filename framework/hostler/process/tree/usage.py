"""What a server uses, with everything that it started: memory, time of the processors, threads."""

from __future__ import annotations

import os
import sys
from contextlib import suppress

from msgspec import Struct

from hostler.model.values import ProcessUsage
from hostler.process.spawn.exits import Process
from hostler.process.tree.members import Member, find_tree
from hostler.process.tree.process_table import Table
from hostler.process.tree.procfs import folder, read_fields, read_stat


class TreeMemory(Struct, frozen=True):
    """The resident size of a tree in bytes, memory that is shared counted for each, and its processes.

    `cpu` are the processor seconds of them and of their ended children.
    """

    rss: int
    processes: int
    cpu: float = 0.0


def tree_memory(process: Process, table: Table | None = None) -> TreeMemory:
    """Add up the resident memory of all living members of a server's tree, `table` being a look at hand."""
    members = find_tree(process, table=table)
    times = (read_times(member.pid) for member in members)
    cpu = sum(own + waited for own, waited, _ in times)
    return TreeMemory(sum(member.rss for member in members), len(members), round(cpu, 2))


def tree_usage(process: Process, table: Table, *, shared_once: bool = False) -> tuple[ProcessUsage, ...]:
    """Measure every living member of a server's tree, the largest first.

    With `shared_once` memory that n processes share counts an n-th for each, where their pages may be seen.
    """
    # The kernel walks all pages for that: some milliseconds for a GiB.
    members = find_tree(process, table=table)
    used = (_use(member, shared_once=shared_once) for member in members)
    return tuple(sorted(used, key=lambda one: one.rss, reverse=True))


def read_times(pid: int) -> tuple[float, float, int]:
    """The processor seconds of a process and of its ended children, and its threads; 0 when it is gone."""
    if sys.platform != "linux":  # pragma: other-system
        return _times_elsewhere(pid)
    try:
        _, fields = read_stat(pid)
    except OSError:
        return 0.0, 0.0, 0
    user, system, waited_user, waited_system = (int(field) for field in fields[11:15])
    tick = os.sysconf("SC_CLK_TCK")
    return (user + system) / tick, (waited_user + waited_system) / tick, int(fields[17])


def _use(member: Member, *, shared_once: bool) -> ProcessUsage:
    share = _proportional(member.pid) if shared_once else None
    rss = member.rss if share is None else share
    return ProcessUsage(member.pid, member.name, rss, *read_times(member.pid), member.parent)


def _proportional(pid: int) -> int | None:
    """The proportional set size in bytes (proc_pid_smaps_rollup, Linux 4.14); None where it is not shown."""
    with suppress(OSError, KeyError):
        return int(read_fields(f"{folder(pid)}/smaps_rollup")[b"Pss"].split()[0]) * 1024
    return None


def _times_elsewhere(pid: int) -> tuple[float, float, int]:  # pragma: other-system
    import psutil  # noqa: PLC0415 - heavy

    try:
        process = psutil.Process(pid)
        times = process.cpu_times()
        return times.user + times.system, times.children_user + times.children_system, process.num_threads()
    except psutil.Error:
        return 0.0, 0.0, 0
