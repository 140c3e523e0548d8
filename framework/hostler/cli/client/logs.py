"""`hostler logs`: what servers have printed, and what they print."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import groupby
from operator import attrgetter
from typing import Any, Protocol

from hostler.cli.client.daemon import (
    NOT_RUNNING,
    ClientError,
    Daemon,
    Deadline,
    Frame,
    find_daemon,
    not_running_error,
)
from hostler.cli.client.log_query import LARGEST_PAGE, LogQuery
from hostler.cli.client.log_view import Line, LogView, Run
from hostler.cli.client.output import Output
from hostler.cli.client.rows import refuse_unknown
from hostler.cli.command_line import Arguments

_RECONNECT_SECONDS = 30.0
_LOOK_SECONDS = 0.1
_PIECE = 60_000  # characters, which only a piece of a line has that is longer


class Logs(Protocol):
    """Who answers: a hostler, or the files."""

    @property
    def names(self) -> list[str]:
        """All servers."""

    @property
    def runs(self) -> Mapping[str, Run]:
        """The present run of each server."""

    def page(self, query: LogQuery, limit: int, before: str = "") -> dict[str, Any]:
        """A page of lines: the last, or those in front of a cursor. Raises ClientError."""

    def pages(self, query: LogQuery, after: str = "") -> Iterator[dict[str, Any]]:
        """All lines that are there (behind a cursor), in parts. Raises ClientError."""


class DaemonLogs:
    """The logs of a hostler's servers."""

    def __init__(self, daemon: Daemon) -> None:
        self._daemon = daemon
        rows = daemon.get("/v1/servers")["servers"]
        self.runs: Mapping[str, Run] = {row["name"]: (row["generation"], row["pid"]) for row in rows}

    @property
    def names(self) -> list[str]:
        """All servers."""
        return list(self.runs)

    def page(self, query: LogQuery, limit: int, before: str = "") -> dict[str, Any]:
        """A page of the lines that are wanted."""
        return self._daemon.get(query.target(limit=limit, before=before))

    def pages(self, query: LogQuery, after: str = "") -> Iterator[dict[str, Any]]:
        """All lines that are wanted, as they are read."""
        for objects in self._daemon.objects(query.target(**({"after": after} if after else {}))):
            if objects and "next" in objects[-1]:
                *lines, end = objects
                yield {"lines": lines, **end}
                return
            yield {"lines": objects, "next": after}


def run(arguments: Arguments, output: Output) -> int:
    """Show them; the exit code, which tells whether a hostler was there."""
    query = LogQuery(arguments)
    daemon = find_daemon(arguments)
    logs = _of_files(arguments) if daemon is None else DaemonLogs(daemon)
    refuse_unknown(logs.names, query.names)
    refusal = not_running_error(arguments.file)
    if daemon is None:
        output.note(f"{refusal.problem['detail']}: this is what its servers have printed before")
    view = LogView(arguments, output, query.names or logs.names)
    cursor = _show_history(logs, query, view)
    if not query.follows:
        return NOT_RUNNING if daemon is None else 0
    view.know(logs.runs)
    following = Following(arguments, query, view, output, cursor)
    if daemon is not None:
        following.follow(daemon)
    while (daemon := following.wait_for_another()) is not None:
        following.follow(daemon)
    return NOT_RUNNING


def _of_files(arguments: Arguments) -> Logs:
    refusal = not_running_error(arguments.file)
    if refusal.code != NOT_RUNNING:
        raise refusal
    from hostler.cli.client.log_files import LogFiles  # noqa: PLC0415 - only where no hostler is

    return LogFiles(arguments)


def _show_history(logs: Logs, query: LogQuery, view: LogView) -> str:
    """Show what was printed before; the cursor behind it."""
    if query.count is None:
        cursor = ""
        for page in logs.pages(query):
            view.show(filter(query.accepts, page["lines"]))
            cursor = page["next"]
        return cursor
    pages, cursor = _last_pages(logs, query, query.count)
    for lines in pages:
        view.show(lines)
    return cursor


def _last_pages(logs: Logs, query: LogQuery, count: int) -> tuple[list[list[Line]], str]:
    """The last lines that are wanted, oldest first, and the cursor behind them."""
    pages: list[list[Line]] = []
    page = logs.page(query, min(count, LARGEST_PAGE) or 1)
    cursor = page["next"]
    left = count
    while True:
        lines = [
            line for line in page["lines"] if query.accepts(line) and not (query.follows and _grows(line))
        ]
        lines = lines[max(len(lines) - left, 0) :]
        pages.insert(0, lines)
        left -= len(lines)
        if left <= 0 or not page["previous"]:
            return pages, cursor
        page = logs.page(query, LARGEST_PAGE, page["previous"])


def _grows(line: Line) -> bool:
    """Whether the line has no end yet, and comes again when it has."""
    return line["partial"] and len(line["text"]) < _PIECE


class Following:
    """Shows the lines behind a cursor as they come, whichever hostler it is that has them."""

    def __init__(
        self, arguments: Arguments, query: LogQuery, view: LogView, output: Output, cursor: str
    ) -> None:
        self._arguments = arguments
        self._query = query
        self._view = view
        self._output = output
        self._cursor = cursor

    def follow(self, daemon: Daemon) -> None:
        """Show what comes until the hostler has ended. Raises ClientError."""
        try:
            daemon.get("/v1")  # waits for its socket, which comes after its lock
            for frames in daemon.frames(self._query.target(after=self._cursor)):
                self._show(frames)
                if not frames:
                    self._output.require_reader()
        except ClientError as error:
            if error.code != NOT_RUNNING:
                raise
        # What it could not tell any more; without the configuration the next one does.
        with suppress(ClientError):
            for page in _of_files(self._arguments).pages(self._query, self._cursor):
                self._view.show(filter(self._query.accepts, page["lines"]))
                self._cursor = page["next"]

    def wait_for_another(self) -> Daemon | None:
        """The next hostler of the configuration; None where none comes for a while."""
        self._output.note(f"no hostler supervises {self._arguments.file} now: waiting for one")
        deadline = Deadline(_RECONNECT_SECONDS)
        while not deadline.is_over():
            if (daemon := find_daemon(self._arguments)) is not None:
                return daemon
            self._output.require_reader()
            time.sleep(_LOOK_SECONDS)
        return None

    def _show(self, frames: Sequence[Frame]) -> None:
        for kind, group in groupby(frames, attrgetter("kind")):
            many = list(group)
            if kind == "line":
                self._view.show(filter(self._query.accepts, (frame.value for frame in many)))
                self._cursor = many[-1].cursor
            elif kind == "run":
                self._view.show_run(many[-1].value)
            elif kind == "gap":
                for frame in many:
                    self._view.show_missed(frame.value["server"])
