"""One event per line as JSON: a contract for programs."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TextIO

from hostler.cli.output.view import View
from hostler.events.events import Event
from hostler.events.serialization import to_json
from hostler.model.values import Line
from hostler.text.sanitize import escaped, harmless


class JsonView(View):
    """Writes each event as one line of JSON and flushes it; messages of hostler's own go to stderr."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def show(self, event: Event) -> None:
        """Write the event."""
        self._write(event.as_dict())

    def show_line(self, server: str, line: Line) -> None:
        """Write a line of output as an event of its own kind."""
        value = {"time": to_json(datetime.now(UTC)), "server": server, "event": "line"}
        value |= {name: getattr(line, name) for name in ("generation", "stream", "number", "text")}
        self._write(value | ({"missed": line.missed} if line.missed else {}))

    def show_message(self, text: str, *, error: bool = False) -> None:
        """Write it to stderr."""
        sys.stderr.write(harmless(text) + "\n")

    def _write(self, value: dict[str, object]) -> None:
        self._out.write(escaped(json.dumps(value, ensure_ascii=False)) + "\n")
        self._out.flush()
