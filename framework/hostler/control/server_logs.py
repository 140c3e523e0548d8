"""The handlers of the control API that show what servers have printed."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from msgspec import Meta, Struct

from hostler import Server, ServerSpec, Supervisor
from hostler.control import log_lines
from hostler.control.event_ring import EventRing
from hostler.control.log_forwards import read_after
from hostler.control.log_history import CURSOR, ServerLog, parse_cursor, read_last
from hostler.control.log_lines import LogLine, Selection
from hostler.control.log_shapes import LogPage
from hostler.control.log_stream import LogSource, LogStream
from hostler.control.log_tails import LiveTails, tail_lines
from hostler.control.problems import Refused
from hostler.control.routes import Call, Route
from hostler.control.server_commands import ServerCommands
from hostler.control.shapes import Limit, Moment
from hostler.control.shortage import NO_DESCRIPTOR, hint_for
from hostler.control.whole_log import JSON_LINES, WholeLog

T = TypeVar("T")
Cursor = Annotated[str, Meta(extra_json_schema={"pattern": CURSOR})]
_WRITES = "log-rotation"
_MOMENT = 0.5
_MOST_READING = 3  # at a time: other work has to find a thread, too


class ServerLogQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which lines: from a time on, and before one; with a literal text in them, of a stream, of a run:
    the last of that number, as each hostler counts anew.

    With `after` the first lines behind that cursor, of which "" is before the oldest; otherwise the last
    lines, with `before` (and no `after`) those in front of that cursor. At most `limit` in a page. With
    `Accept: application/jsonl` all that are behind `after` (without it: that are kept), whatever the limit.
    """

    since: Moment | None = None
    until: Moment | None = None
    after: Cursor | None = None
    before: Cursor | None = None
    contains: str = ""
    stream: Literal["stdout", "stderr"] | None = None
    run: int | None = None
    limit: Limit = 200


class LogQuery(ServerLogQuery, kw_only=True, forbid_unknown_fields=True):
    """The same, of several servers: of all, or of those whose names are given, with commas between them."""

    servers: str = ""


class ServerLogs:
    """Answers requests about the output of the servers that `commands` finds."""

    def __init__(self, supervisor: Supervisor, commands: ServerCommands, ring: EventRing) -> None:
        self._supervisor = supervisor
        self._commands = commands
        self._ring = ring
        self._reading = asyncio.Semaphore(_MOST_READING)

    async def log(self, call: Call) -> Any:
        """A page of the lines of all servers, by time; with `Accept: text/event-stream` those to come too.

        With `Accept: application/jsonl` all of them, one object a line.
        """
        return await self._answer(call, [name for name in call.query.servers.split(",") if name])

    async def server_log(self, call: Call) -> Any:
        """A page of the lines of one server; with `Accept: text/event-stream` those to come too.

        With `Accept: application/jsonl` all of them, one object a line.
        """
        return await self._answer(call, [call.parts["name"]])

    async def _answer(self, call: Call, names: Sequence[str]) -> Any:
        query, selection = call.query, selection_of(call.query)
        _check_cursors(query.after, query.before, call.last_event if call.streams else "")
        self._commands.find(names)
        if call.streams:
            source = self._source(names, LiveTails(partial(self._without_log, names), selection))
            return LogStream(source, selection, call.last_event or query.after, query.limit)
        if JSON_LINES in call.accept:
            remembered = [] if query.after is not None else self._tails(names, selection)
            return WholeLog(self._source(names), selection, query.after or "", remembered)
        return 200, await self._page(query, selection, names)

    def _source(self, names: Sequence[str], tails: LiveTails | None = None) -> LogSource:
        logs, ring = partial(self._logs, names), self._ring
        return LogSource(logs, self._read, self._pid_of, lambda: ring.is_closed, tails)

    async def _page(
        self, query: ServerLogQuery, selection: Selection, names: Sequence[str]
    ) -> dict[str, Any]:
        read = partial(read_last, self._logs(names), selection, query.limit, query.before or "")
        if query.after is not None:
            read = partial(read_after, self._logs(names), selection, query.limit, query.after)
        page = await self._read(read)
        lines = page.lines
        if query.after is None and not query.before:
            lines += self._tails(names, selection, query.limit)
        return page.as_dict(map(self._with_pid, lines[-query.limit :]))

    def _found(self, names: Sequence[str]) -> list[Server]:
        """These servers (all, without names), as far as they are still there."""
        servers = self._supervisor.servers
        return [servers[name] for name in names or servers if name in servers]

    def _logs(self, names: Sequence[str]) -> list[ServerLog]:
        found = self._found(names)
        return [ServerLog(one.name, path) for one in found if (path := log_path(one)) is not None]

    def _without_log(self, names: Sequence[str]) -> list[Server]:
        return [one for one in self._found(names) if log_path(one) is None]

    def _tails(self, names: Sequence[str], selection: Selection, count: int = sys.maxsize) -> list[LogLine]:
        return tail_lines(self._without_log(names), selection, count)

    def _with_pid(self, line: LogLine) -> LogLine:
        if line.pid is not None:
            return line
        return line._replace(pid=self._pid_of(line.server, line.run, line.time))

    def _pid_of(self, name: str, run: int | None, moment: int | None) -> int | None:
        """The pid of a run, which its file knows only a moment later than what the run printed first."""
        server = self._supervisor.servers.get(name)
        if server is None or server.pid is None or server.generation != run or moment is None:
            return None
        spawned_at = datetime.now(UTC) - timedelta(seconds=server.uptime + _MOMENT)
        return server.pid if moment >= log_lines.micros_of(spawned_at) else None

    async def _read(self, read: Callable[[], T]) -> T:
        """Read in a thread, as a disk may take its time. Raises Refused where no more files can be opened."""
        try:
            async with self._reading:
                return await asyncio.to_thread(read)
        except OSError as error:
            if error.errno not in NO_DESCRIPTOR:
                raise
            detail = f"the logs cannot be read now: {error.strerror}"
            raise Refused("internal", detail, hint=hint_for(error)) from None

    def routes(self) -> tuple[Route, ...]:
        """Its part of the table."""
        get, answer = partial(Route, "GET"), LogPage
        name = ("not_found",)
        return (
            get("/v1/log", self.log, answer, query=LogQuery, problems=name, streams=True, lines=True),
            get(
                "/v1/servers/{name}/log",
                self.server_log,
                answer,
                query=ServerLogQuery,
                problems=name,
                streams=True,
                lines=True,
            ),
        )


def selection_of(query: ServerLogQuery) -> Selection:
    """Which lines a query selects. Raises Refused for what cannot be meant."""
    since, until = _micros("since", query.since), _micros("until", query.until)
    return Selection(since, until, query.contains, query.stream, query.run)


def _check_cursors(*cursors: str | None) -> None:
    try:
        for cursor in cursors:
            parse_cursor(cursor or "")
    except ValueError as error:
        raise Refused("invalid_request", f"query: {error}") from None


def _micros(name: str, text: str | None) -> int | None:
    try:
        return None if text is None else log_lines.micros_of(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        example = datetime.now(UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
        raise Refused("invalid_request", f'query: {name} is a time as "{example}", found {text!r}') from None


def log_path(server: Server) -> Path | None:
    """Where the output of a server is written, or will be; None where no plugin does that."""
    if server.log is not None:
        return server.log.path
    has_one = any(plugin.name == _WRITES for plugin in server.spec.plugins)
    return planned_log(server.spec, server.data_dir) if has_one else None


def planned_log(spec: ServerSpec, data_dir: Path) -> Path:
    """Where a server's output is written, unless a plugin has told otherwise."""
    paths = [plugin.options.get("path") for plugin in spec.plugins if plugin.name == _WRITES]
    return data_dir / str(next(filter(None, paths), f"{spec.name}.log"))
