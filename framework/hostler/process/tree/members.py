"""The processes of one server: what it started, what that started, wherever they hid."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from hostler.process.spawn.cgroups import pids_in
from hostler.process.tree.table import Row, Table, read_table, until_settled


@dataclass(frozen=True, slots=True)
class Member:
    """One living process of a server; pid and start time together are its identity."""

    pid: int
    start_time: float
    name: str = field(default="", compare=False)
    rss: int = field(default=0, compare=False)
    parent: int = field(default=0, compare=False)


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

    roots = [*table.marked(process.run_id, process.start_time), *_same(table, known)]
    roots += _grouped(table, process.cgroup)
    leader = table.rows.get(process.pid)
    if leader is None or leader.start_time == process.start_time:
        # nobody else has taken the number of the leader, so what is numbered after it is ours
        roots += [*_as_rows(leader), *table.sessions.get(process.pid, ()), *table.groups.get(process.pid, ())]

    return _members(table, roots, {os.getpid()})


def find_leftovers(
    run_id: str,
    pid: int | None,
    start_time: float,
    known: Iterable[Member] = (),
    cgroup: Path | None = None,
) -> list[Member]:
    """Find the living members of a run whose supervisor is dead; start time 0 means that none was noted.

    A dead leader's number is not trusted here: much later it may be a stranger's session. We ourselves,
    our ancestors and descendants are left out, should we run inside that tree.
    """
    return _settled(lambda: _leftovers(read_table(), run_id, pid, start_time, known, cgroup))


def _leftovers(
    table: Table,
    run_id: str,
    pid: int | None,
    start_time: float,
    known: Iterable[Member],
    cgroup: Path | None,
) -> list[Member]:
    roots = [*table.marked(run_id, start_time), *_same(table, known), *_grouped(table, cgroup)]
    leader = table.rows.get(pid) if pid is not None else None
    if leader is not None and start_time and leader.start_time == start_time:
        roots.append(leader)
    return _members(table, roots, _ancestors(table) | {row.pid for row in _descendants(table, os.getpid())})


def _settled(look: Callable[[], list[Member]]) -> list[Member]:
    members: list[Member] = []
    for _ in until_settled():
        if members := look():
            break
    return members


def _same(table: Table, members: Iterable[Member]) -> list[Row]:
    """Look up members again; a pid that another process has by now is left out."""
    rows = ((table.rows.get(member.pid), member) for member in members)
    return [row for row, member in rows if row is not None and row.start_time == member.start_time]


def _grouped(table: Table, group: Path | None) -> list[Row]:
    return [table.rows[pid] for pid in pids_in(group) if pid in table.rows]


def _members(table: Table, roots: Iterable[Row], barred: set[int]) -> list[Member]:
    """Follow children, sessions and groups from the roots until nothing new turns up."""
    found: dict[int, Row] = {}
    waiting = list(roots)
    while waiting:
        row = waiting.pop()
        if row.pid in found or row.pid in barred:
            continue
        found[row.pid] = row
        waiting += table.children.get(row.pid, ())
        waiting += table.sessions.get(row.pid, ())
        waiting += table.groups.get(row.pid, ())

    return [Member(row.pid, row.start_time, row.name, row.rss, row.parent) for row in found.values()]


def _ancestors(table: Table) -> set[int]:
    pids = {os.getpid()}
    row = table.rows.get(os.getpid())
    while row is not None and row.parent not in pids:
        pids.add(row.parent)
        row = table.rows.get(row.parent)
    return pids


def _descendants(table: Table, pid: int) -> list[Row]:
    found = list(table.children.get(pid, ()))
    for row in found:
        found += table.children.get(row.pid, ())
    return found


def _as_rows(row: Row | None) -> list[Row]:
    return [] if row is None else [row]
