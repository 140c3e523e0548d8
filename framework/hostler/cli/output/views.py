"""The views of `hostler run`: plain lines for pipes, files and --quiet, and JSON for programs."""

from __future__ import annotations

import json
import logging
import sys
from datetime import UTC, datetime
from typing import TextIO

from hostler.cli.output.renderer import EventRenderer, lines_missed
from hostler.cli.run_options import ViewOptions
from hostler.cli.safe_streams import raw_stream
from hostler.events.events import Event, Progress
from hostler.events.messages import log_level
from hostler.events.serialization import to_json
from hostler.model.spec import Configuration
from hostler.model.values import Line
from hostler.text.sanitize import escaped, harmless


class View:
    """One way to show events. A view overrides the methods for what it shows."""

    def learn_names(self, configuration: Configuration) -> None:
        """Learn what to call the servers of a configuration, on top of those that are known."""

    def show_start(self, file: object) -> None:
        """Show that hostler begins, with the configuration of this file."""

    def ignores(self, event: Event) -> bool:
        """Whether nothing is to be shown of an event, which is taken note of then."""
        return False

    def show(self, event: Event) -> None:
        """Show an event."""

    def show_line(self, server: str, line: Line) -> None:
        """Show one line of a server's output."""

    def show_message(self, text: str, *, error: bool = False) -> None:
        """Show a message of hostler's own."""

    def show_command(self, text: str) -> None:
        """Show what a client has asked the run for."""

    def stop_spinner(self) -> None:
        """Draw nothing any more that moves: the companion command uses the terminal now."""

    def show_shutdown(self) -> None:
        """Show that a signal has begun the shutdown."""

    def close(self) -> None:
        """Leave the terminal as it was; nothing is shown any more."""


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

    def ignores(self, event: Event) -> bool:
        """Whether it is quiet, and the event no failure: a stop of hundreds has three for each."""
        ignored = self._quiet and log_level(event) < logging.ERROR
        if ignored:
            self._renderer.note(event)
        return ignored

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
        self._write(f"{self._renderer.prefix(server)}{line.text}", self._out)

    def show_message(self, text: str, *, error: bool = False) -> None:
        """Write a message of hostler's own."""
        if error or not self._quiet:
            self._write(text, sys.stderr if error else self._out)

    def _write(self, text: str, out: TextIO) -> None:
        out.write(harmless(text) + "\n")
        out.flush()


class JsonView(View):
    """Writes each event as one line of JSON, a contract for programs; hostler's messages go to stderr."""

    def __init__(self, out: TextIO) -> None:
        self._out = out
        self._encode = json.JSONEncoder(ensure_ascii=False).encode

    def show(self, event: Event) -> None:
        """Write the event."""
        self._write(event.as_dict())

    def show_line(self, server: str, line: Line) -> None:
        """Write a line of output as an event of its own kind."""
        self._write(line_as_dict(server, line))

    def show_message(self, text: str, *, error: bool = False) -> None:
        """Write it to stderr."""
        sys.stderr.write(harmless(text) + "\n")

    def _write(self, value: dict[str, object]) -> None:
        self._out.write(escaped(self._encode(value)) + "\n")
        self._out.flush()


def line_as_dict(server: str, line: Line) -> dict[str, object]:
    """A line of output as an event of its own kind."""
    value = {"time": to_json(datetime.now(UTC)), "server": server, "event": "line"}
    value |= {name: getattr(line, name) for name in ("generation", "stream", "number", "text")}
    return value | ({"missed": line.missed} if line.missed else {})


def make_view(configuration: Configuration, shown: ViewOptions, *, has_companion: bool) -> View:
    """Make the view that the options and the kind of output call for.

    With a companion command everything goes to stderr: stdout is the command's.
    """
    out = sys.stderr if has_companion else sys.stdout
    if shown.as_json:
        return JsonView(out)
    if shown.has_log:
        from hostler.cli.output.decision_log import DecisionLog  # noqa: PLC0415 - few runs have it

        return DecisionLog(out, as_json=shown.log_format == "json", least=shown.log_level or "info")
    if out.isatty() and not shown.quiet:
        from hostler.cli.output.terminal import TerminalView  # noqa: PLC0415 - rich is heavy

        return TerminalView(configuration, raw_stream(out), debug=shown.debug)
    return PlainView(configuration, out, debug=shown.debug, quiet=shown.quiet)
