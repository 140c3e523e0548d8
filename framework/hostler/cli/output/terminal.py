"""A terminal: colours, and a spinner while something is under way."""

from __future__ import annotations

import logging
import re
from typing import TextIO

from rich.console import Console
from rich.markup import escape
from rich.status import Status
from rich.text import Text

from hostler.cli.output.renderer import EventRenderer, lines_missed
from hostler.cli.output.views import View
from hostler.events.events import Event, Progress, StateChanged
from hostler.model.spec import Configuration
from hostler.model.states import State
from hostler.model.values import Line
from hostler.text.sanitize import harmless

_COLOURS = re.compile(r"(\x1b\[[0-9;]*m)")
_PREFIX_COLOURS = (
    "cyan",
    "magenta",
    "blue",
    "green",
    "yellow",
    "bright_cyan",
    "bright_magenta",
    "bright_blue",
)
_STYLES = {State.RUNNING: "green", State.CRASHED: "yellow", State.FAILED: "red"}


class TerminalView(View):
    """Shows what matters, with a spinner as long as a server is being started."""

    def __init__(self, configuration: Configuration, out: TextIO, *, debug: bool) -> None:
        self._renderer = EventRenderer(configuration, debug=debug)
        self._console = Console(file=out, highlight=False, soft_wrap=True, emoji=False)
        self._status: Status | None = None
        self._animated = True

    def learn_names(self, configuration: Configuration) -> None:
        """Learn what to call the servers of a configuration."""
        self._renderer.learn_names(configuration)

    def show(self, event: Event) -> None:
        """Print the event if it is for people, and keep the spinner in step."""
        rendered = self._renderer.render(event)
        state = event.state if isinstance(event, StateChanged) else None
        # The spinner shows a start and its progress.
        if rendered is not None and not isinstance(event, Progress) and state is not State.STARTING:
            style = None if state is None else _STYLES.get(state)
            style = style or {logging.WARNING: "yellow", logging.ERROR: "red"}.get(rendered.level)
            self._console.print(_harmless(rendered.text), style=style)
        self._spin(rendered.text if rendered is not None and isinstance(event, Progress) else "")

    def show_line(self, server: str, line: Line) -> None:
        """Print a line of the server's output."""
        if line.missed:
            self.show_message(lines_missed(server, line.missed))
        colour = _PREFIX_COLOURS[self._renderer.position(server) % len(_PREFIX_COLOURS)]
        self._console.print(Text(self._renderer.prefix(server), colour), _harmless(line.text), sep="")

    def show_message(self, text: str, *, error: bool = False) -> None:
        """Print a message of hostler's own."""
        self._console.print(_harmless(text), style="red" if error else None)

    def stop_spinner(self) -> None:
        """Show no spinner any more: it would draw over what the companion command shows."""
        self._animated = False
        self.close()

    def show_shutdown(self) -> None:
        """Say that the second Ctrl-C is not like the first."""
        self._console.print("[dim]stopping; press Ctrl-C again to kill[/dim]")

    def close(self) -> None:
        """Leave the terminal as it was."""
        if self._status is not None:
            self._status.stop()
            self._status = None

    def _spin(self, progress: str) -> None:
        starting = self._renderer.starting()
        if not starting or not self._animated:
            self.close()
            return

        text = escape(harmless(progress or f"Starting {', '.join(starting)}..."))

        if self._status is None:
            self._status = self._console.status(text)
            self._status.start()
        elif progress:
            self._status.update(text)


def _harmless(text: str) -> Text:
    """What servers write, with its colours, but without what would move the cursor or clear the screen.

    Colours alone: rich would pass on the address of a link as it is, with all that stands in it.
    """
    parts = _COLOURS.split(text)
    parts[::2] = [harmless(part) for part in parts[::2]]
    return Text.from_ansi("".join(parts))
