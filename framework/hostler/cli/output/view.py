"""What every view can do."""

from __future__ import annotations

from hostler.events.events import Event
from hostler.model.spec import Configuration
from hostler.model.values import Line


class View:
    """One way to show what happens. A view overrides what it shows; nothing is shown of the rest."""

    def learn_names(self, configuration: Configuration) -> None:
        """Learn what to call the servers of a configuration, on top of those that are known."""

    def show(self, event: Event) -> None:
        """Show an event."""

    def show_line(self, server: str, line: Line) -> None:
        """Show one line of a server's output (in debug mode)."""

    def show_message(self, text: str, *, error: bool = False) -> None:
        """Show a message of hostler's own."""

    def stop_spinner(self) -> None:
        """Draw nothing any more that moves: the companion command uses the terminal now."""

    def show_shutdown(self) -> None:
        """Show that a signal has begun the shutdown."""

    def close(self) -> None:
        """Leave the terminal as it was; nothing is shown any more."""
