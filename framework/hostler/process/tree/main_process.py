"""The main process of a server: who is asked to end before the rest of its tree."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection
from contextlib import suppress
from enum import Enum, auto

from msgspec import Struct

from hostler.process.tree.members import Member
from hostler.process.tree.procfs import folder, read


class Reaction(Enum):
    """What a process does on a signal."""

    HANDLES = auto()
    IGNORES = auto()
    DIES = auto()


_MASKS = {
    b"\nSigBlk:": Reaction.HANDLES,  # who blocks it waits for it elsewhere (sigwait, signalfd)
    b"\nSigIgn:": Reaction.IGNORES,
    b"\nSigCgt:": Reaction.HANDLES,
}


class Main(Struct, frozen=True):
    """Who is signalled first, each with what it does then; `piped`: others read what these write."""

    reactions: dict[Member, Reaction]
    piped: bool = False

    @property
    def signalled(self) -> set[Member]:
        """Those who do not ignore the signal."""
        return {member for member, reaction in self.reactions.items() if reaction is not Reaction.IGNORES}

    @property
    def needs_time(self) -> bool:
        """Whether those who are left may be ending by themselves when these have ended."""
        return self.piped or Reaction.HANDLES in self.reactions.values()


def find_main(leader: int, members: Collection[Member], number: int) -> Main:
    """Find the main process: the leader, and its children where it can hand nothing on to them."""
    # It cannot where it is a shell without a trap, which dies, or what stands in front of a sandboxed server,
    # which ignores the signal and ends with it. Of the parts of a pipe, readers are left for later: they are
    # to read all that is still written.
    children: dict[int, list[Member]] = defaultdict(list)
    waiting: list[Member] = []
    reactions = {}
    piped = False

    for member in members:
        children[member.parent].append(member)
        waiting += [member] if member.pid == leader else []

    while waiting:
        member = waiting.pop()
        reaction = _reaction_alone if len(members) == 1 else _reaction
        reactions[member] = reaction(member, number)
        if reactions[member] is not Reaction.HANDLES:
            below = children[member.pid]
            writers = [child for child in below if not _reads_a_pipe(child.pid)]
            piped = piped or 0 < len(writers) < len(below)
            waiting += writers or below

    return Main(reactions, piped)


def _reaction_alone(member: Member, number: int) -> Reaction:
    """The same of one that has nobody beside it, by its row in the process table: most have nobody."""
    # Or it dies: no others are to be signalled in its place, or left the time for what it handed on.
    return Reaction.IGNORES if member.ignored >> (number - 1) & 1 else Reaction.HANDLES


def _reaction(member: Member, number: int) -> Reaction:
    """What a process does on a signal; where that is not known, it may do anything."""
    try:
        status = read(f"{folder(member.pid)}/status")
    except OSError:
        return Reaction.HANDLES

    for name, reaction in _MASKS.items():
        if int(status.partition(name)[2].partition(b"\n")[0] or b"0", 16) >> (number - 1) & 1:
            return reaction

    # While a process sleeps in sigwait, the kernel shows the signals that it waits for as unblocked.
    with suppress(OSError):
        if b"sigtimedwait" in read(f"{folder(member.pid)}/wchan"):
            return Reaction.HANDLES
    return Reaction.DIES


def _reads_a_pipe(pid: int) -> bool:
    try:
        return os.readlink(f"{folder(pid)}/fd/0").startswith("pipe:")  # noqa: PTH115
    except OSError:
        return False
