"""What was counted of servers that are gone: sums over all servers must not go back when one is removed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from hostler import HookStats, Server, Supervisor


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
            server = self._supervisor[name]
            self._hooks = self._added([server])
            self._dropped += server.counts.dropped_events

    @property
    def hooks(self) -> dict[tuple[str, str], HookSums]:
        """What each hook of each plugin has done, with those of the servers that are there."""
        return self._added(self._supervisor.servers.values())

    def _added(self, servers: Iterable[Server]) -> dict[tuple[str, str], HookSums]:
        sums = dict(self._hooks)
        for server in servers:
            for key, one in server.hook_totals.items():
                sums[key] = sums.get(key, HookSums()).plus(one)
        return sums

    @property
    def dropped_events(self) -> int:
        """How many events somebody was too slow for, with those of the servers that are there."""
        own = self._supervisor.dropped_events + self._dropped
        return own + sum(server.counts.dropped_events for server in self._supervisor.servers.values())
