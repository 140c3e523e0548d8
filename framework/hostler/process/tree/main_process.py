"""The main process of a server: who is asked to end before the rest of its tree."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from pathlib import Path

from hostler.process.tree.members import Member
from hostler.process.tree.proc import folder


class Reaction(Enum):
    """What a process does on a signal."""

    HANDLES = auto()
    IGNORES = auto()
    DIES = auto()


_MASKS = {
    b"SigIgn:": Reaction.IGNORES,
    b"SigCgt:": Reaction.HANDLES,
    b"SigBlk:": Reaction.HANDLES,  # who blocks it waits for it elsewhere (sigwait, signalfd)
}


@dataclass(frozen=True, slots=True)
class Main:
    """Who is asked first, each with what it does then; `piped` tells that others read what these write."""

    reactions: dict[Member, Reaction]
    piped: bool = False

    @property
    def told(self) -> set[Member]:
        """Those who hear the signal."""
        return {member for member, reaction in self.reactions.items() if reaction is not Reaction.IGNORES}

    @property
    def needs_time(self) -> bool:
        """Whether those who are left may be ending by themselves when these have ended."""
        return self.piped or Reaction.HANDLES in self.reactions.values()


def find_main(leader: int, members: Iterable[Member], number: int) -> Main:
    """Find the main process: the leader, and its children where it can hand nothing on to them.

    So it is with a shell without a trap, which dies, and with what stands in front of a sandboxed server,
    which ignores the signal and ends with it. Of the parts of a pipe, readers are left for later.
    """
    children: dict[int, list[Member]] = defaultdict(list)
    waiting: list[Member] = []
    reactions = {}
    piped = False

    for member in members:
        children[member.parent].append(member)
        waiting += [member] if member.pid == leader else []

    while waiting:
        member = waiting.pop()
        reactions[member] = _reaction(member.pid, number)
        if reactions[member] is not Reaction.HANDLES:
            below = children[member.pid]
            writers = [child for child in below if not _reads_a_pipe(child.pid)]
            piped = piped or 0 < len(writers) < len(below)
            waiting += writers or below

    return Main(reactions, piped)


def _reaction(pid: int, number: int) -> Reaction:
    """Where it is not known, it may do anything."""
    try:
        lines = Path(folder(pid), "status").read_bytes().splitlines()
    except OSError:
        return Reaction.HANDLES

    for line in lines:
        reaction = _MASKS.get(line[:7])
        if reaction is not None and int(line[7:], 16) >> (number - 1) & 1:
            return reaction

    return Reaction.HANDLES if _waits_for_signals(pid) else Reaction.DIES


def _waits_for_signals(pid: int) -> bool:
    """Whether it sleeps in sigwait: the kernel shows the signals waited for as unblocked meanwhile."""
    try:
        return b"sigtimedwait" in Path(folder(pid), "wchan").read_bytes()
    except OSError:
        return False


def _reads_a_pipe(pid: int) -> bool:
    try:
        return str(Path(folder(pid), "fd/0").readlink()).startswith("pipe:")
    except OSError:
        return False
