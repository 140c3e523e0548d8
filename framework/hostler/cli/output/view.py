"""What every view can do."""

from __future__ import annotations

from typing import Protocol

from hostler.events.events import Event
from hostler.model.spec import Configuration
from hostler.model.values import Line


class View(Protocol):
    """One way to show what happens."""

    def know(self, configuration: Configuration) -> None:
        """Learn what to call the servers of another configuration."""
        ...

    def show(self, event: Event) -> None:
        """Show an event."""
        ...

    def line(self, server: str, line: Line) -> None:
        """Show one line of a server's output (in debug mode)."""
        ...

    def say(self, text: str, *, error: bool = False) -> None:
        """Say something of hostler's own."""
        ...

    def give_way(self) -> None:
        """Draw nothing any more that moves: somebody else uses the terminal now."""
        ...

    def shutting_down(self) -> None:
        """Say that a signal ends all."""
        ...

    def close(self) -> None:
        """End; nothing is shown any more."""
        ...
