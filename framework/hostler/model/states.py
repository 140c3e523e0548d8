"""The states of a server and the legal moves between them."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from types import MappingProxyType

COMPLETED = "completed"
"""The reason of the moves of a task that has done its work."""
DONE = "it has done its work"
"""The same for a server."""


class State(Enum):
    """Where a server is in its life."""

    STOPPED = "stopped"
    STARTING = "starting"
    WAITING_READY = "waiting_ready"
    RUNNING = "running"
    STOPPING = "stopping"
    CRASHED = "crashed"
    BACKOFF = "backoff"
    FAILED = "failed"

    # Each is one object. That of Enum is written in Python, and a restart asks for ninety.
    __hash__ = object.__hash__

    @property
    def has_process(self) -> bool:
        """Whether a process of the server may exist in this state."""
        return self in {State.WAITING_READY, State.RUNNING, State.STOPPING, State.CRASHED}

    @property
    def has_begun(self) -> bool:
        """Whether a run has begun, or the next one is about to: a restart of it means something."""
        return self in {State.WAITING_READY, State.RUNNING, State.CRASHED, State.BACKOFF}

    @property
    def at_rest(self) -> bool:
        """Whether nothing happens here until somebody asks for it."""
        return self in {State.STOPPED, State.FAILED}


MOVES: Mapping[State, frozenset[State]] = MappingProxyType(
    {
        State.STOPPED: frozenset({State.STARTING}),
        State.FAILED: frozenset({State.STARTING}),
        State.STARTING: frozenset({State.WAITING_READY, State.CRASHED, State.STOPPED}),
        State.WAITING_READY: frozenset({State.RUNNING, State.CRASHED, State.STOPPING}),
        State.RUNNING: frozenset({State.CRASHED, State.STOPPING}),
        State.CRASHED: frozenset({State.BACKOFF, State.FAILED, State.STOPPED}),
        State.BACKOFF: frozenset({State.STARTING, State.STOPPED}),
        State.STOPPING: frozenset({State.STOPPED}),
    }
)
