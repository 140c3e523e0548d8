"""Plain lines: for pipes, files and --quiet."""

from __future__ import annotations

import logging
import sys
from typing import TextIO

from hostler.cli.output.sentences import Sentences, lines_missed
from hostler.events.events import Event, Progress
from hostler.model.spec import Configuration
from hostler.model.values import Line
from hostler.text.sanitize import harmless


class PlainView:
    """Writes one line for what matters; failures go to stderr."""

    def __init__(
        self, configuration: Configuration, out: TextIO, *, debug: bool, quiet: bool = False
    ) -> None:
        self._sentences = Sentences(configuration, debug=debug)
        self._out = out
        self._quiet = quiet
        self._last_progress = ""

    def know(self, configuration: Configuration) -> None:
        """Learn what to call the servers of another configuration."""
        self._sentences.know(configuration)

    def show(self, event: Event) -> None:
        """Write the event, if it is for people."""
        if isinstance(event, Progress):
            if event.text == self._last_progress:
                return  # a fraction that grows is for spinners
            self._last_progress = event.text
        sentence = self._sentences.of(event)
        if sentence is not None:
            self.say(sentence.text, error=sentence.level >= logging.ERROR)

    def line(self, server: str, line: Line) -> None:
        """Write a line of the server's output."""
        if line.missed:
            self.say(lines_missed(server, line.missed))
        self.say(f"{server} {line.stream}: {line.text}")

    def say(self, text: str, *, error: bool = False) -> None:
        """Write a line of hostler's own."""
        if error or not self._quiet:
            out = sys.stderr if error else self._out
            out.write(harmless(text) + "\n")
            out.flush()

    def give_way(self) -> None:
        """Nothing moves here."""

    def shutting_down(self) -> None:
        """Nothing: the states tell it."""

    def close(self) -> None:
        """Nothing is held open."""
