"""hostler's own log: one line for each decision, with its time, its level and its server."""

from __future__ import annotations

import json
import logging
import os
from datetime import UTC, datetime
from typing import TextIO

from hostler.cli.output.renderer import OF_A_RELOAD, lines_missed
from hostler.cli.output.views import View, line_as_dict
from hostler.events.events import Event, Exited, MemorySampled, Notice, Progress, StateChanged
from hostler.events.messages import in_words, log_level
from hostler.events.serialization import to_json
from hostler.model.states import State
from hostler.model.values import Line
from hostler.text.sanitize import escaped, harmless, one_line
from hostler.version import __version__

LEVELS = ("debug", "info", "warning", "error")


class DecisionLog(View):
    """Writes what hostler decides from a level of `LEVELS` on, as text or as one JSON object a line."""

    def __init__(self, out: TextIO, *, as_json: bool, least: str) -> None:
        self._out = out
        self._as_json = as_json
        self._least = logging.getLevelNamesMapping()[least.upper()]
        self._encode = json.JSONEncoder(ensure_ascii=False).encode

    def show_start(self, file: object) -> None:
        """Write that a life of hostler begins here."""
        self._tell(f"hostler {__version__} supervises {file} (pid {os.getpid()})", logging.INFO)

    def show(self, event: Event) -> None:
        """Write the event, if it is loud enough."""
        level = _level(event)
        if level < self._least:
            return
        if self._as_json:
            self._write_json(event.as_dict(), level, in_words(event))
        else:
            self._write_text(
                str(to_json(event.time)), _word(level), event.server or "hostler", in_words(event)
            )

    def show_line(self, server: str, line: Line) -> None:
        """Write a line of a server's output, which has no level."""
        value = line_as_dict(server, line)
        if self._as_json:
            self._write(escaped(self._encode(value)))
            return
        if line.missed:
            self.show_message(lines_missed(server, line.missed))
        # As it stands: only names and messages of ours are made one line with single spaces.
        self._write(f"{value['time']} {'output':<7} {server}: {harmless(line.text)}")

    def show_message(self, text: str, *, error: bool = False) -> None:
        """Write a message of hostler's own."""
        self._tell(text, logging.ERROR if error else logging.INFO)

    def show_command(self, text: str) -> None:
        """Write what a client has asked for."""
        self._tell(text, logging.INFO)

    def show_shutdown(self) -> None:
        """Write that all is stopped now."""
        self._tell("stopping all servers", logging.INFO)

    def _tell(self, text: str, level: int) -> None:
        if level < self._least:
            return
        time = to_json(datetime.now(UTC))
        if self._as_json:
            self._write_json({"time": time, "server": "", "event": "message"}, level, text)
        else:
            self._write_text(str(time), _word(level), "hostler", text)

    def _write_json(self, value: dict[str, object], level: int, text: str) -> None:
        head: dict[str, object] = {"time": None, "level": None}
        # Of a notice, which has a level itself, that of the line counts.
        line = head | value | {"level": _word(level), "message": text.strip()}
        self._write(escaped(self._encode(line)))

    def _write_text(self, time: str, level: str, server: str, text: str) -> None:
        self._write(f"{time} {level:<7} {server}: {one_line(text)}")

    def _write(self, text: str) -> None:
        self._out.write(text + "\n")
        self._out.flush()


def _level(event: Event) -> int:
    """How loud an event is; what only leads to a decision, or repeats one, is for debugging."""
    match event:
        case Exited() | Progress() | MemorySampled():
            return logging.DEBUG
        case StateChanged(state=State.WAITING_READY | State.BACKOFF):
            return logging.DEBUG
        case Notice(topic=topic) if topic in OF_A_RELOAD:  # its plan has said it
            return logging.DEBUG
        case _:
            return log_level(event)


def _word(level: int) -> str:
    return logging.getLevelName(level).lower()
