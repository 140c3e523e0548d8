"""Servers that need one another, and the story that their events tell."""

from __future__ import annotations

from dataclasses import dataclass, field

import anyio
from hostler import (
    Event,
    StateChanged,
    Supervisor,
    hookimpl,
)


class Story:
    """What all servers went through, in order: "web stopping"."""

    def __init__(self, supervisor: Supervisor) -> None:
        self.told: list[str] = []
        supervisor.listen(self._hear)

    def _hear(self, event: Event) -> None:
        if isinstance(event, StateChanged):
            self.told.append(f"{event.server} {event.state.value}")

    def has(self, *order: str) -> bool:
        """Whether these came in this order, the last ones of each kind."""
        places = [len(self.told) - 1 - self.told[::-1].index(one) for one in order]
        return places == sorted(places)


@dataclass(eq=False)
class SlowStart:
    """Prepares a start until it is told to go on."""

    begun: anyio.Event = field(default_factory=anyio.Event)
    go_on: anyio.Event = field(default_factory=anyio.Event)

    @hookimpl
    async def pre_spawn(self) -> None:
        self.begun.set()
        await self.go_on.wait()
