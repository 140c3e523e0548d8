"""Servers, events and lines as `hostler top` writes them: no text of a server can steer the terminal."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

import msgspec

from hostler.cli.client.events import line_of
from hostler.cli.client.rows import is_fine, size, state_of
from hostler.cli.formatting import format_duration, format_time
from hostler.cli.top.history import POINTS, History
from hostler.control.server_shapes import ServerRow
from hostler.text.sanitize import one_line

HEAD = ("NAME", "STATE", "HEALTH", "UPTIME", "RESTARTS", "MEMORY", "CPU", "URL")
SPARK_AT = HEAD.index("MEMORY") + 1
_NARROW = 110  # columns of a terminal that these take by themselves
_LEAST_SPARK = 10

HELP = """\
Up, Down      choose a server               /   show those whose name or state has this
s             start it                      Esc show all again, leave the full log
x             stop it (asks first)          c   its last crash
r             restart it (asks first)       e   why it is as it is
l             its log on the whole screen   y   copy its URL (OSC 52: also over ssh)
f             follow its log, or do not     o   open its URL in a browser
Tab           to the log and back: arrows and PageUp scroll there
q             leave; the servers go on

Memory is that of a server with all its children: a bar for each minute of the last hour.
CPU is a part of one processor. "!" marks a line of stderr, "|" one of stdout.
To select text with the mouse, drag; Ctrl-C copies it. In tmux: set -s set-clipboard on."""


def spark_width(columns: int) -> int:
    """How many minutes of memory the table shows in a terminal of so many columns."""
    width = min(columns - _NARROW, POINTS)
    return width if width >= _LEAST_SPARK else 0


def cells(row: ServerRow, history: History, spark: int, now: datetime) -> list[str]:
    """One row of the table, with the line of memory where it is to be so wide."""
    cpu = history.cpu(row)
    restarts = row.restarts
    found = [
        row.name,
        state_of(msgspec.to_builtins(row)),
        row.health or "-",
        "-" if row.uptime is None else format_duration(row.uptime),
        f"{restarts.used} of {restarts.allowed}",
        "-" if row.memory is None else size(row.memory.rss),
        "-" if cpu is None else f"{cpu:.0%}",
        row.url or "-",
    ]
    if spark:
        found.insert(SPARK_AT, history.spark(row.name, spark, now).ljust(spark))
    return [one_line(cell) if number != SPARK_AT or not spark else cell for number, cell in enumerate(found)]


def style_of(row: ServerRow) -> str:
    """The colour of a state, which is said in words too."""
    if row.state in {"failed", "crashed"} or row.health == "unhealthy":
        return "red"
    return "green" if row.pid is not None and is_fine(msgspec.to_builtins(row)) else ""


def chosen_lines(row: ServerRow, history: History, now: datetime) -> str:
    """The URL and the memory of the server that is chosen."""
    most = history.most(row.name)
    memory = "memory" if most is None else f"memory to {size(most)}"
    spark = history.spark(row.name, POINTS, now)
    return f"{one_line(row.name)}: {one_line(row.url or row.reason or 'no URL')}\n{memory:<17} {spark}"


def counts(rows: list[ServerRow]) -> str:
    """How many servers are in which state: "2 running, 1 backoff"."""
    states = [row.state.replace("_", " ") for row in rows]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no servers"


def event_line(event: dict[str, Any], now: datetime) -> str:
    """One event on one line, at the time of the day."""
    match event:
        case {"event": "state", "previous": previous, "state": state}:
            reason = event.get("reason")
            what = f"{previous} -> {state}{f': {reason}' if reason else ''}"
        case {"event": "restart", "used": used, "allowed": allowed, "delay": delay}:
            what = f"restart {used} of {allowed} in {delay:.1f} s"
        case _:
            return one_line(line_of(event))
    time = format_time(datetime.fromisoformat(event["time"]), now)
    return one_line(f"{time} {event['server']}: {what}")


def explained(row: ServerRow, now: datetime) -> Iterator[str]:
    """Why a server is as it is, in sentences."""
    since = "" if row.since is None else f" since {format_time(datetime.fromisoformat(row.since), now)}"
    yield f"{row.name} is {state_of(msgspec.to_builtins(row))}{since}; it is wanted {row.wanted}."
    if row.reason:
        yield f"The reason: {row.reason}."
    if row.needs:
        yield f"It needs: {', '.join(row.needs)}."
    if row.stuck:
        yield f"Stuck: {row.stuck}."
    for word in row.health_words:
        health = {True: "healthy", False: "unhealthy", None: "unknown"}[word.healthy]
        yield f"Health by {word.plugin}: {health}{f', {word.reason}' if word.reason else ''}."
    restarts = row.restarts
    yield f"Restarts: {restarts.used} of {restarts.allowed} used, {restarts.total} in all."
    if row.last_crash is not None:
        crash = row.last_crash
        when = format_time(datetime.fromisoformat(crash.when), now)
        yield f"The last crash (number {crash.number}): {when}, {crash.how}; {crash.decision}. c shows it."
    if row.hooks_out:
        yield f"Disabled after failures: {', '.join(row.hooks_out)}."
