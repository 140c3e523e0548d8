"""`hostler events`: what has happened, and what happens."""

from __future__ import annotations

import json
from contextlib import suppress
from datetime import datetime
from typing import Any

from hostler.cli.client.daemon import HostlerEnded, require_daemon
from hostler.cli.client.moments import moment_of
from hostler.cli.client.output import Output
from hostler.cli.client.progress import quoted
from hostler.cli.client.rows import refuse_unknown
from hostler.cli.command_line import Arguments

_HEAD = {"time", "server", "event", "generation", "cursor"}
_LONGEST = 200


def run(arguments: Arguments, output: Output) -> int:
    """Show them; the exit code. Following ends with Ctrl-C, or with the hostler."""
    selection = EventSelection(arguments)
    daemon = require_daemon(arguments)
    cursor, servers = "", {""}
    while (page := daemon.get(selection.target(cursor, limit=1000)))["events"]:
        for event in page["events"]:
            servers.add(event["server"])
            if selection.accepts(event):
                output.answer(event, line_of(event))
        cursor = page["next"]
    # One that was removed has events still.
    rows = daemon.get("/v1/servers")["servers"]
    refuse_unknown([row["name"] for row in rows], [name for name in selection.names if name not in servers])
    if arguments.has("follow"):
        with suppress(HostlerEnded):
            for told in daemon.follow(selection.target(page["next"])):
                if told is None:
                    output.require_reader()
                elif "missed" in told or selection.accepts(told):
                    output.answer(told, line_of(told))
    return 0


class EventSelection:
    """Which events a call wants. Raises Usage."""

    def __init__(self, arguments: Arguments) -> None:
        self.names = (*arguments.names, *arguments.texts("server"))
        self._kind = arguments.text("kind")
        self._since = moment_of(arguments, "since") if arguments.has("since") else None

    def target(self, cursor: str, **more: int) -> str:
        """The request for those behind a cursor."""
        values = {"after": cursor, "kind": self._kind, **more}
        return "/v1/events?" + "&".join(
            f"{name}={quoted(str(value))}" for name, value in values.items() if value or name == "after"
        )

    def accepts(self, event: dict[str, Any]) -> bool:
        """Whether an event is wanted, of those of its kind."""
        is_late = self._since is None or datetime.fromisoformat(event["time"]) >= self._since
        return is_late and (not self.names or event["server"] in self.names)


def line_of(event: dict[str, Any]) -> str:
    """One line for people: time, server and kind, then what the event says."""
    if "missed" in event:
        count = "" if event["missed"] is None else f"{event['missed']} "
        return f"--- {count}events are missing here ---"
    head = f"{event['time']}  {event['server'] or '-'}  {event['event']}"
    own = [
        f"{key}={_value(value)}"
        for key, value in event.items()
        if key not in _HEAD and value not in (None, "")
    ]
    return "  ".join([head, *own])


def _value(value: object) -> str:
    text = " ".join(value.split("\n")) if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
