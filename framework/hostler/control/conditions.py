"""What clients wait for on servers. Imports next to nothing: a client command has no time for it."""

# No `from __future__ import annotations`: typing would compile those of a NamedTuple, a tenth of a `ps`.

from typing import NamedTuple


class Standing(NamedTuple):
    """How a server is, by its row; `idle` where its plugins were asked."""

    state: str
    wanted: str
    completed: bool
    health: str
    idle: bool | None = None

    def fulfils(self, condition: str) -> bool:
        """Whether it is "ready", "healthy", "stopped", "completed" or "idle"."""
        if condition == "stopped":
            return self.state in {"stopped", "failed"}
        if self.completed or condition == "completed":
            return self.completed
        is_unhealthy = condition == "healthy" and self.health == "unhealthy"
        is_busy = condition == "idle" and self.idle is not True
        return self.state == "running" and not is_unhealthy and not is_busy

    @property
    def is_given_up(self) -> bool:
        """Whether waiting for it to be up is in vain."""
        return self.state == "failed" or (self.state == "stopped" and self.wanted == "down")

    @property
    def counts(self) -> bool:
        """Whether it is waited for where no server is named."""
        return self.wanted == "up" or self.completed or self.state == "failed"
