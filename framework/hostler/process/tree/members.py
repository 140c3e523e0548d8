"""The processes of one server: what it started, what that started, wherever they hid."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import field
from pathlib import Path
from typing import Protocol

from hostler.model.dataclass import dataclass
from hostler.process.spawn.cgroups import pids_in
from hostler.process.tree.process_table import Row, Table, read_table, until_settled


@dataclass(frozen=True, slots=True)
class Member:
    """One living process of a server; pid and start time together are its identity. `ignored` as in Row."""

    pid: int
    start_time: float
    name: str = field(default="", compare=False)
    rss: int = field(default=0, compare=False)
    parent: int = field(default=0, compare=False)
    ignored: int = field(default=0, compare=False)


class Leader(Protocol):
    """What has to be known of the spawned process itself, dead or alive; see `Process`."""

    run_id: str
    pid: int
    start_time: float
    cgroup: Path | None


def find_tree(process: Leader, known: Iterable[Member] = (), table: Table | None = None) -> list[Member]:
    """Find the living members of a server, dead leader or not; zombies and ourselves are never among them.

    Members are found by parent links, session, process group, marker and control group, starting from the
    leader and from those that are `known` already. `table` is a look that was already taken; without it
    nobody is found when nobody is there, however fast they fork.
    """
    if table is None:
        return _settled(lambda: find_tree(process, known, read_table()))

    roots = _roots(table, process.run_id, process.start_time, known, process.cgroup)
    leader = table.rows.get(process.pid)
    if leader is None or leader.start_time == process.start_time:
        # Nobody else has taken the number of the leader, so what is numbered after it is ours.
        roots += [] if leader is None else [leader]
        roots += [*table.sessions.get(process.pid, ()), *table.groups.get(process.pid, ())]

    return _members(table, roots, {os.getpid()})


def find_leftovers(
    run_id: str, pid: int | None, start_time: float, known: Iterable[Member] = (), cgroup: Path | None = None
) -> list[Member]:
    """Find the living members of a run whose supervisor is dead; start time 0 means that none was noted."""
    # Its session is not searched: much later, the number of a dead leader may be that of a foreign session.
    leader = [Member(pid, start_time)] if pid is not None and start_time else []

    def look() -> list[Member]:
        table = read_table()
        roots = _roots(table, run_id, start_time, [*leader, *known], cgroup)
        # We ourselves may run inside that tree: a hostler that one of its servers started.
        return _members(table, roots, _own_line(table))

    return _settled(look)


def _settled(look: Callable[[], list[Member]]) -> list[Member]:
    members: list[Member] = []
    for _ in until_settled():
        if members := look():
            break
    return members


def _roots(
    table: Table, run_id: str, start_time: float, known: Iterable[Member], cgroup: Path | None
) -> list[Row]:
    """Who is marked, in the control group, or known from before and still the same process."""
    rows = ((table.rows.get(member.pid), member) for member in known)
    same = [row for row, member in rows if row is not None and row.start_time == member.start_time]
    grouped = [table.rows[pid] for pid in pids_in(cgroup) if pid in table.rows]
    return [*table.marked(run_id, start_time), *same, *grouped]


def _members(table: Table, roots: Iterable[Row], barred: set[int]) -> list[Member]:
    """Follow children, sessions and groups from the roots until nothing new turns up."""
    found: dict[int, Row] = {}
    waiting = list(roots)
    while waiting:
        row = waiting.pop()
        if row.pid not in found and row.pid not in barred:
            found[row.pid] = row
            for links in (table.children, table.sessions, table.groups):
                waiting += links.get(row.pid, ())

    return [
        Member(row.pid, row.start_time, row.name, row.rss, row.parent, row.ignored) for row in found.values()
    ]


def _own_line(table: Table) -> set[int]:
    """We ourselves, our descendants and our ancestors."""
    line = [os.getpid()]
    for pid in line:
        line += [row.pid for row in table.children.get(pid, ())]
    row = table.rows.get(os.getpid())
    while row is not None and row.parent not in line:
        line.append(row.parent)
        row = table.rows.get(row.parent)
    return set(line)
