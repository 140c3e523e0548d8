"""One event per line as JSON: a contract for programs."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from typing import TextIO

from hostler.events.events import Event
from hostler.model.spec import Configuration
from hostler.model.values import Line
from hostler.text.sanitize import escaped, harmless


class JsonView:
    """Writes each event as one line of JSON and flushes it; words of hostler's own go to stderr."""

    def __init__(self, out: TextIO, *, debug: bool) -> None:
        self._out = out
        self._debug = debug

    def know(self, configuration: Configuration) -> None:
        """Nothing: servers go by their names."""

    def show(self, event: Event) -> None:
        """Write the event."""
        self._write(event.as_dict())

    def line(self, server: str, line: Line) -> None:
        """Write a line of output as an event of its own kind."""
        time = datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        self._write(
            {
                "time": time,
                "server": server,
                "event": "line",
                "generation": line.generation,
                "stream": line.stream,
                "number": line.number,
                "text": line.text,
            }
            | ({"missed": line.missed} if line.missed else {})
        )

    def say(self, text: str, *, error: bool = False) -> None:
        """Say it on stderr."""
        sys.stderr.write(harmless(text) + "\n")

    def give_way(self) -> None:
        """Nothing moves here."""

    def shutting_down(self) -> None:
        """Nothing: the states tell it."""

    def close(self) -> None:
        """Nothing is held open."""

    def _write(self, value: dict[str, object]) -> None:
        self._out.write(escaped(json.dumps(value, ensure_ascii=False)) + "\n")
        self._out.flush()
