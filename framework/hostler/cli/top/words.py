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
from hostler.client import Gap, LogLine
from hostler.control.log_shapes import LogRun
from hostler.control.server_shapes import ServerRow
from hostler.text.sanitize import harmless, one_line

HEAD = ("NAME", "STATE", "HEALTH", "UPTIME", "RESTARTS", "MEMORY", "CPU", "URL")
SPARK_AT = HEAD.index("MEMORY") + 1
_NARROW = 110  # columns of a terminal that these take by themselves
_LEAST_SPARK = 10

HELP = """\
Up, Down  choose a server; also k and j, Home and End
/         show those whose name or state has this; Esc shows all
s         start it
x, r      stop it, restart it; both ask first
l         its log on the whole screen, and back
f         follow its log, or have it stand still
Tab       to its log and back: arrows and PageUp scroll there
c         its last crash
e         why it is as it is, and where its log file is
y         copy its URL (OSC 52: also over ssh)
o         open its URL in a browser
q         leave, as Ctrl-C does; the servers go on

Memory is that of a server with all its children: a bar for
each minute of the last hour. CPU is a part of one processor.
"!" marks a line of stderr, "|" one of stdout.
To select text, drag with the mouse; Ctrl-C copies it then.
In tmux: set -s set-clipboard on."""


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


def chosen_lines(row: ServerRow, history: History, now: datetime, columns: int) -> str:
    """The URL and the memory of the server that is chosen, in a terminal of so many columns."""
    most = history.most(row.name)
    memory = f"{'memory' if most is None else f'memory to {size(most)}':<17} "
    spark = history.spark(row.name, max(min(columns - len(memory), POINTS), 1), now)
    return f"{one_line(row.name)}: {one_line(row.url or row.reason or 'no URL')}\n{memory}{spark}"


def counts(rows: list[ServerRow]) -> str:
    """How many servers are in which state: "2 running, 1 backoff"."""
    states = [row.state.replace("_", " ") for row in rows]
    return ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states)) or "no servers"


def change_line(rows: list[ServerRow], now: datetime) -> str:
    """What the last change of a state was, for as long as no event is known."""
    last = max((row for row in rows if row.since is not None), key=lambda row: row.since or "", default=None)
    if last is None or last.since is None:
        return "no event yet"
    reason = f": {last.reason}" if last.reason else ""
    time = format_time(datetime.fromisoformat(last.since), now)
    return one_line(f"{time} {last.name}: {state_of(msgspec.to_builtins(last))}{reason}")


def event_line(event: dict[str, Any], now: datetime) -> str:
    """One event on one line, at the time of the day."""
    match event:
        case {"event": "state", "previous": previous, "state": state}:
            reason = event.get("reason")
            what = f"{event['server']}: {previous} -> {state}{f': {reason}' if reason else ''}"
        case {"event": "restart", "used": used, "allowed": allowed, "delay": delay}:
            what = f"{event['server']}: restart {used} of {allowed} in {delay:.1f} s"
        case _:
            what = line_of(event).partition(" ")[2]
    return one_line(f"{format_time(datetime.fromisoformat(event['time']), now)} {what}")


def log_line(value: LogLine | LogRun | Gap) -> str:
    """One line of a log, or the mark where a run begins."""
    if isinstance(value, Gap):
        return "--- lines are missing here ---"
    time = "" if value.time is None else f"{datetime.fromisoformat(value.time).astimezone():%H:%M:%S} "
    if isinstance(value, LogRun):
        process = "" if value.pid is None else f" (pid {value.pid})"
        return f"--- {time}run {value.run} began{process} ---"
    text = harmless(value.text).replace("\n", " ")
    return f"{time}{'!' if value.stream == 'stderr' else '|'} {text}"


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
        what = "; ".join(filter(None, (crash.how, crash.decision)))
        yield f"The last crash (number {crash.number}): {when}, {what}. c shows it."
    if row.hooks_out:
        yield f"Disabled after failures: {', '.join(row.hooks_out)}."
