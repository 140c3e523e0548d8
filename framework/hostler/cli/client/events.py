"""`hostler events`: what has happened, and what happens."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import Any

from hostler.cli.client.commands import Arguments
from hostler.cli.client.daemon import Daemon, HostlerEnded, require
from hostler.cli.client.output import Output
from hostler.cli.client.progress import quoted

_HEAD = {"time", "server", "event", "generation", "cursor"}
_LONGEST = 200


def run(arguments: Arguments, output: Output) -> int:
    """Show them; the exit code. Following ends with Ctrl-C, or with the hostler."""
    daemon = require(arguments)
    cursor = ""
    while page := _read(daemon, arguments, cursor):
        for event in page["events"]:
            if not arguments.names or event["server"] in arguments.names:
                output.answer(event, _line(event))
        if not page["events"]:
            break
        cursor = page["next"]
    if arguments.has("follow"):
        with suppress(HostlerEnded):
            for event in daemon.follow(f"/v1/events?after={page['next']}{_selected(arguments)}"):
                if event is not None and (not arguments.names or event.get("server") in arguments.names):
                    output.answer(event, _line(event))
    return 0


def _read(daemon: Daemon, arguments: Arguments, cursor: str) -> dict[str, Any]:
    return daemon.get(f"/v1/events?limit=1000&after={cursor}{_selected(arguments)}")


def _selected(arguments: Arguments) -> str:
    return f"&kind={quoted(arguments.text('kind'))}" if arguments.has("kind") else ""


def _line(event: dict[str, Any]) -> str:
    """One line for people: time, server and kind, then what the event says."""
    if "missed" in event:
        return f"--- {event['missed']} events are missing here ---"
    head = f"{event['time']}  {event['server'] or '-'}  {event['event']}"
    own = [
        f"{key}={_value(value)}"
        for key, value in event.items()
        if key not in _HEAD and value not in (None, "")
    ]
    return "  ".join([head, *own])


def _value(value: object) -> str:
    text = value if isinstance(value, str) else json.dumps(value)
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."
