"""The handlers of the control API, and the table that says which request each one answers."""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any, Protocol

from msgspec import Struct

import hostler
from hostler import Event, ServerError, State, Supervisor, __version__
from hostler.control import shapes
from hostler.control.configuration_reload import ConfigurationReload, required
from hostler.control.dashboard import Dashboard
from hostler.control.event_ring import EventRing
from hostler.control.event_stream import EventFeed, EventStream
from hostler.control.inspection import Inspection
from hostler.control.metrics import Metrics
from hostler.control.problems import refused
from hostler.control.request_counts import RequestCounts
from hostler.control.routes import Call, Route
from hostler.control.rows import event_row, format_time, server_row
from hostler.control.server_additions import ServerAdditions
from hostler.control.server_commands import ServerCommands
from hostler.control.server_logs import ServerLogs


class Host(Protocol):
    """What the program that runs the supervisor does for its clients."""

    async def variables(self) -> tuple[set[str], set[str]]:
        """The variables that the configuration refers to, by name; and patterns of names, as in the shell."""

    async def show(self, server: str | None) -> hostler.Shown:
        """The configuration as it is on disk now, or one server of it; KeyError for one that is not there."""

    async def reload(self, *, dry_run: bool, environ: Mapping[str, str | None] | None) -> hostler.Changes:
        """Read the configuration again, and apply it unless `dry_run`; errors as in Supervisor.reload.

        The variables of `environ` take the place of the program's own, None for one that is not set.
        """

    def start_rest(self) -> None:
        """Start what starts by itself, and was neither started nor stopped until now."""

    def shutdown(self, *, force: bool) -> None:
        """Stop all servers and end."""


class ServerQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which servers: of this name, in this state."""

    name: str | None = None
    state: str | None = None


class EventQuery(Struct, kw_only=True, forbid_unknown_fields=True):
    """Which events: behind this cursor, of this kind, of this server; at most so many in a page."""

    after: str = ""
    kind: str | None = None
    server: str | None = None
    limit: shapes.Limit = 200


class Shutdown(Struct, kw_only=True, forbid_unknown_fields=True):
    """With `force` the servers are killed."""

    force: bool = False


class Api:
    """Answers requests about one supervisor. Without a `host` its program cannot be told to reload or end.

    `dashboard` is the file that its dashboard is found by after a kill.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        ring: EventRing,
        configuration: str,
        namespace: str,
        host: Host | None,
        dashboard: str,
    ) -> None:
        self._supervisor = supervisor
        self._ring = ring
        self._feed = EventFeed(ring)
        self._configuration, self._namespace = configuration, namespace
        self._host = host
        self._commands = ServerCommands(supervisor)
        self._reload = ConfigurationReload(host)
        self._additions = ServerAdditions(supervisor, ring)
        self._logs = ServerLogs(supervisor, self._commands, ring)
        self.requests = RequestCounts()
        self._metrics = Metrics(supervisor, self._feed, self.requests)
        self.dashboard = Dashboard(self.routes, self.requests, dashboard)

    async def close(self) -> None:
        """Wait for no command any more, and answer no page."""
        await self._commands.close()
        await self.dashboard.close()

    # -- what there is -------------------------------------------------------------------------

    async def daemon(self, call: Call) -> tuple[int, object]:
        """The hostler that answers."""
        capabilities = ["events"] if self._host is None else ["events", "reload", "shutdown"]
        answer = shapes.Daemon(
            version=__version__,
            api=1,
            pid=os.getpid(),
            since=format_time(self._ring.since),
            configuration=self._configuration,
            namespace=self._namespace,
            cursor=self._ring.cursor,
            capabilities=capabilities,
        )
        return 200, answer

    async def servers(self, call: Call) -> tuple[int, object]:
        """All servers, or those that the query selects."""
        query = call.query
        await self._ring.memory.refresh()
        rows = [self._row(name) for name in self._supervisor.servers if query.name in {None, name}]
        rows = [row for row in rows if query.state in {None, row.state}]
        return 200, shapes.ServerList(cursor=self._ring.cursor, next=None, servers=rows)

    async def server(self, call: Call) -> tuple[int, object]:
        """One server."""
        await self._ring.memory.refresh()
        return 200, self._row(self._find(call).name)

    async def connection(self, call: Call) -> tuple[int, object]:
        """What a program needs to talk to it: its URL, credentials and variables."""
        server = self._find(call)
        auth = server.auth
        answer = shapes.Connection(
            url=server.url,
            generation=server.generation,
            user=None if auth is None else auth.user,
            password=None if auth is None else auth.password,
            env=server.child_env({}) | ({} if server.url is None else {"HOSTLER_URL": server.url}),
        )
        return 200, answer

    async def events(self, call: Call) -> Any:
        """A page of the last events, or with `Accept: text/event-stream` those to come too."""
        query = call.query

        def accepts(event: Event) -> bool:
            return query.kind in {None, event.kind} and query.server in {None, event.server}

        if call.streams:
            # A browser that comes back sends the address of the first time, with the place in a header.
            return EventStream(self._feed, call.last_event or query.after, accepts)
        return 200, self._page(query, accepts)

    def _page(self, query: EventQuery, accepts: Callable[[Event], bool]) -> shapes.EventPage:
        number, missed = self._ring.number_of(query.after)
        events = []
        for number, event in self._ring.after(number, self._ring.count):  # noqa: B020 - the last one is kept
            if accepts(event):
                events.append(event_row(event, self._ring.cursor_of(number)))
            if len(events) == query.limit:
                break
        return shapes.EventPage(
            events=events,
            next=self._ring.cursor_of(number),
            missed=0 if missed is None else missed.count or 0,
            gap=missed is not None,
        )

    async def document(self, call: Call) -> tuple[int, object]:
        """This API as an OpenAPI document."""
        from hostler.control.openapi import openapi  # noqa: PLC0415 - few ask for it

        return 200, openapi(self.routes())

    async def live(self, call: Call) -> tuple[int, object]:
        """200 while hostler lives."""
        return 200, None

    async def ready(self, call: Call) -> tuple[int, object]:
        """200 when all servers that are wanted may be used, else 503."""
        wanted = [one for one in self._supervisor.servers.values() if one.wanted]
        return (200 if all(one.state is State.RUNNING for one in wanted) else 503), None

    # -- commands ------------------------------------------------------------------------------

    async def start(self, call: Call) -> tuple[int, object]:
        """Start servers and what they need."""
        return await self._carry_out(call, self._commands.start)

    async def stop(self, call: Call) -> tuple[int, object]:
        """Stop servers, each after those that need it."""
        return await self._carry_out(call, self._commands.stop)

    async def restart(self, call: Call) -> tuple[int, object]:
        """Restart servers, now or in a quiet moment."""
        return await self._carry_out(call, self._commands.restart)

    async def _carry_out(
        self, call: Call, command: Callable[[Sequence[hostler.Server], shapes.Command], Awaitable[list[bool]]]
    ) -> tuple[int, object]:
        one = call.parts.get("name")
        servers = self._commands.find(call.body.names if one is None else [one])
        try:
            changed = await command(servers, call.body)
        except ServerError as error:
            raise refused(error, self._supervisor.servers.get(error.context.server or "")) from error
        outcomes = [
            shapes.Outcome(server=self._row(server.name), changed=did)
            for server, did in zip(servers, changed, strict=True)
        ]
        answer = shapes.Outcomes(servers=outcomes) if one is None else outcomes[0]
        return (200 if call.body.wait else 202), answer

    async def shutdown(self, call: Call) -> tuple[int, object]:
        """Stop all servers and end; the lock is free when that is done."""
        required(self._host).shutdown(force=call.body.force)
        return 202, None

    def _find(self, call: Call) -> hostler.Server:
        return self._commands.find([call.parts["name"]])[0]

    def _row(self, name: str) -> shapes.ServerRow:
        server = self._supervisor[name]
        return server_row(server, self._ring.memory.last(server))

    # -- the table -----------------------------------------------------------------------------

    def routes(self) -> tuple[Route, ...]:
        """All that this API answers."""
        return (
            *self._reading(),
            *self._logs.routes(),
            *self._commanding(),
            *self._additions.routes(),
            *self._reload.routes(),
            *self.dashboard.routes(),
        )

    def _reading(self) -> tuple[Route, ...]:
        get, name = partial(Route, "GET"), ("not_found",)
        return (
            get("/v1", self.daemon, shapes.Daemon, has_room=True),
            get("/v1/servers", self.servers, shapes.ServerList, query=ServerQuery),
            get("/v1/servers/{name}", self.server, shapes.ServerRow, problems=name),
            *Inspection(self._find, self._supervisor, self._ring.memory).routes(),
            get(
                "/v1/servers/{name}/connection",
                self.connection,
                shapes.Connection,
                problems=name,
                allowed="connect",
            ),
            get("/v1/events", self.events, shapes.EventPage, query=EventQuery, streams=True),
            get("/openapi.json", self.document, dict),
            *self._metrics.routes(),
            get("/livez", self.live, None, allowed="everybody", has_room=True),
            get("/readyz", self.ready, None, statuses=(200, 503), allowed="everybody"),
        )

    def _commanding(self) -> Iterator[Route]:
        failing = ("not_found", "failed", "timed_out", "unkillable")
        commands = {"start": self.start, "stop": self.stop, "restart": self.restart}
        for path, body, answer in (
            ("/v1/servers/{name}", shapes.Command, shapes.Outcome),
            ("/v1/servers", shapes.Commands, shapes.Outcomes),
        ):
            for name, handler in commands.items():
                problems = (*failing, "stale_generation", "not_idle") if name == "restart" else failing
                yield Route(
                    "POST",
                    f"{path}/{name}",
                    handler,
                    answer,
                    body=body,
                    statuses=(200, 202),
                    problems=problems,
                )
        yield Route(
            "POST", "/v1/shutdown", self.shutdown, None, body=Shutdown, statuses=(202,), has_room=True
        )
