"""What a server needs of others: which, how far they have to be, and what follows when they restart."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from enum import Enum
from typing import TypeAlias

from hostler.model.dataclass import dataclass


class Condition(Enum):
    """How far a needed server has to be before the one that needs it is spawned."""

    STARTED = "started"
    READY = "ready"
    COMPLETED = "completed"


class OnRestart(Enum):
    """What becomes of a server when one that it needs restarts or is lost."""

    KEEP = "keep"
    RESTART = "restart"
    STOP = "stop"


@dataclass(frozen=True, slots=True)
class Need:
    """One server that another needs. A bare name in `needs` means that server, ready, and `keep`."""

    server: str
    condition: Condition = Condition.READY
    on_restart: OnRestart = OnRestart.KEEP


Needs: TypeAlias = tuple[str | Need, ...]


def as_needs(needs: Iterable[str | Need]) -> tuple[Need, ...]:
    """The needs with each bare name as a Need."""
    return tuple(Need(need) if isinstance(need, str) else need for need in needs)


def with_needs(needs: Needs, *more: Need) -> Needs:
    """The needs with these added.

    A server that is needed already is not added again: it only has to be ready where it had to be
    started so far and `more` asks for that.
    """
    known = {need.server: need for need in as_needs(needs)}
    added = tuple(need for need in more if need.server not in known)
    raised = {
        need.server
        for need in more
        if need.condition is Condition.READY and need.server in known
        if known[need.server].condition is Condition.STARTED
    }
    kept = tuple(
        replace(need, condition=Condition.READY) if isinstance(need, Need) and need.server in raised else need
        for need in needs
    )
    return kept + added
