"""When a server that uses more than it should may be restarted: arithmetic only."""

from __future__ import annotations

from dataclasses import dataclass, field

IDLE_NOW = "and it is idle now"


@dataclass(slots=True)
class SoftLimit:
    """Waits until a server has been above its limit for `above_for`, and then until it is idle.

    Idle means not busy for `idle_for`. After `max_wait` more it is over all the same. Times in seconds.
    """

    above_for: float
    idle_for: float
    max_wait: float
    above_since: float | None = field(default=None, init=False)
    _idle_since: float | None = field(default=None, init=False)

    def note(self, now: float, *, above: bool, busy: bool) -> str:
        """Take a look into account; why the time has come, "" as long as it has not."""
        if busy:
            self._idle_since = None
        elif self._idle_since is None:
            self._idle_since = now

        if not above:
            self.above_since = None
            return ""

        if self.above_since is None:
            self.above_since = now

        waited = now - self.above_since
        if waited < self.above_for:
            return ""
        if self._idle_since is not None and now - self._idle_since >= self.idle_for:
            return IDLE_NOW

        return "and it was never idle" if waited >= self.above_for + self.max_wait else ""


@dataclass(slots=True)
class ProcessorTime:
    """The processor time of a tree over a run, as far as it can be seen from outside.

    What is seen is a lower bound: a process that comes and goes between two looks is seen when a living
    member has waited for it.
    """

    total: float = 0.0
    _own: dict[int, float] = field(default_factory=dict, init=False)
    _ended: float = field(default=0.0, init=False)

    def note(self, used: dict[int, tuple[float, float]]) -> None:
        """Take a look into account: by pid the time of each process, and of the children it waited for."""
        for pid, before in tuple(self._own.items()):
            now = used.get(pid)
            if now is None or now[0] < before:  # gone, or its number is another's by now
                self._ended += self._own.pop(pid)
        self._own |= {pid: own for pid, (own, _) in used.items()}
        seen = self._ended + sum(self._own.values())
        told = sum(own + waited for own, waited in used.values())
        self.total = max(self.total, seen, told)
