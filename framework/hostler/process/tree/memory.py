"""How much memory a server uses, with everything that it started."""

from __future__ import annotations

from dataclasses import dataclass

from hostler.process.spawn.exits import Process
from hostler.process.tree.members import find_tree
from hostler.process.tree.table import Table


@dataclass(frozen=True, slots=True)
class TreeMemory:
    """The resident size of a tree in bytes, memory that is shared counted for each, and its processes."""

    rss: int
    processes: int


def tree_memory(process: Process, table: Table | None = None) -> TreeMemory:
    """Add up the resident memory of all living members of a server's tree, `table` being a look at hand."""
    members = find_tree(process, table=table)
    return TreeMemory(sum(member.rss for member in members), len(members))
