"""What was counted of servers that are gone: sums over all servers must not go back when one is removed."""

from __future__ import annotations

from typing import NamedTuple

from hostler import HookStats, ServerCounts, Supervisor


class HookSums(NamedTuple):
    """What one hook of one plugin has done for all servers together."""

    calls: int = 0
    failures: int = 0
    seconds: float = 0.0

    def plus(self, one: HookStats) -> HookSums:
        """With those of one more server."""
        return HookSums(self.calls + one.calls, self.failures + one.failures, self.seconds + one.seconds)


class FormerServers:
    """Keeps the sums of servers that were removed, and adds those that are there."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._hooks: dict[tuple[str, str], HookSums] = {}
        self._dropped = 0

    def note(self, name: str) -> None:
        """Keep what was counted of a server that is about to go."""
        if name in self._supervisor:
            counts = self._supervisor[name].counts
            self._hooks = self.hooks([counts])
            self._dropped += counts.dropped_events

    def hooks(self, present: list[ServerCounts]) -> dict[tuple[str, str], HookSums]:
        """What each hook of each plugin has done, with those of the servers that are there."""
        sums = dict(self._hooks)
        for counts in present:
            for key, one in counts.hooks.items():
                sums[key] = sums.get(key, HookSums()).plus(one)
        return sums

    def dropped_events(self, present: list[ServerCounts]) -> int:
        """How many events somebody was too slow for, with those of the servers that are there."""
        own = self._supervisor.dropped_events + self._dropped
        return own + sum(counts.dropped_events for counts in present)
