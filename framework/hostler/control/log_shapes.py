"""What the control API answers about logs, as types."""

from __future__ import annotations

from msgspec import Struct


class LogLine(Struct, kw_only=True):
    """One line of output. `cursor` is the place behind it; `pid` that of the process of its run.

    `partial`: it has no end yet, and comes again when it has; or it is a piece of one that is too long.
    """

    time: str | None
    server: str
    stream: str | None
    run: int | None
    pid: int | None
    text: str
    cursor: str
    partial: bool


class LogPage(Struct, kw_only=True):
    """Lines, oldest first. `next` is the cursor behind them, `previous` that before them; null at the oldest.

    `missed` names the servers of which lines behind the cursor asked for are no longer kept.
    """

    lines: list[LogLine]
    next: str
    previous: str | None
    missed: list[str]


class LogEnd(Struct, kw_only=True):
    """Stands behind all lines that are there: the cursor there, and the servers of which some are missing."""

    next: str
    missed: list[str]


class LogRun(Struct, kw_only=True):
    """A run begins here, in a log that is followed."""

    time: str
    server: str
    run: int
    pid: int | None
