"""Plain lines: for pipes, files and --quiet."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from hostler.cli.output.renderer import EventRenderer, lines_missed
from hostler.cli.output.view import View
from hostler.events.events import Event, Progress
from hostler.model.spec import Configuration
from hostler.model.values import Line
from hostler.text.sanitize import harmless


class PlainView(View):
    """Writes one line for what matters; failures go to stderr."""

    def __init__(
        self, configuration: Configuration, out: TextIO, *, debug: bool, quiet: bool = False
    ) -> None:
        self._renderer = EventRenderer(configuration, debug=debug)
        self._out = out
        self._quiet = quiet
        self._last_progress = ""

    def learn_names(self, configuration: Configuration) -> None:
        """Learn what to call the servers of a configuration."""
        self._renderer.learn_names(configuration)

    def show(self, event: Event) -> None:
        """Write the event, if it is for people."""
        if isinstance(event, Progress):
            if event.text == self._last_progress:
                return  # a fraction that grows is for spinners
            self._last_progress = event.text
        rendered = self._renderer.render(event)
        if rendered is not None:
            self.show_message(rendered.text, error=rendered.level >= logging.ERROR)

    def show_line(self, server: str, line: Line) -> None:
        """Write a line of the server's output."""
        if line.missed:
            self.show_message(lines_missed(server, line.missed))
        self.show_message(f"{server} {line.stream}: {line.text}")

    def show_message(self, text: str, *, error: bool = False) -> None:
        """Write a message of hostler's own."""
        if error or not self._quiet:
            out = sys.stderr if error else self._out
            out.write(harmless(text) + "\n")
            out.flush()
