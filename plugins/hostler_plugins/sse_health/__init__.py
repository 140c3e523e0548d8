"""sse-health: a server is healthy while its event stream lives; every event is handed on.

It connects as soon as the server listens, and is ready with the first event or comment. A stream that
ends, breaks off or falls silent is told apart and connected to again, with backoff.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from typing import ClassVar

from hostler import (
    Duration,
    Endpoint,
    Healthy,
    Launch,
    Report,
    Secret,
    ServerView,
    Size,
    hookimpl,
    option,
)

from hostler_plugins._connections import read_headers, without_port
from hostler_plugins._option_checks import check_path, check_positive
from hostler_plugins.sse_health.event_stream import EventStreamParser

__all__ = ["EventStreamParser", "SseHealth"]


@dataclass(eq=False)
class SseHealth:
    """Watches a server through its event stream (server-sent events).

    An event larger than `max_event` is skipped up to its blank line; this is no failure. `stream_events()`
    yields a mark in its place, `server.skipped_events` counts it, and the notice `event_skipped` reports
    the first one of a run. Assembling an event takes at most twice its size in memory, or more if it mixes
    Latin letters with others, because Python then takes up to four bytes for each character.

    During a start the first request has a thirtieth of `startup_timeout`, each further one twice as long,
    up to `first_event_timeout`: some servers never answer what they are asked right after they have begun
    to listen.

    Some answers mean that there is no stream, or not for hostler: 401, 403, 404, 405, 410, a redirect,
    another content type and the like. The request is repeated for 5 s or a third of `startup_timeout`. Then
    the start has failed, and a server that had a stream is restarted. 204 does so at once, because it asks
    for no more connections. With `health = "any"` the requests continue, less and less often. Retry-After
    is respected, up to `max_reconnect`.
    """

    needs_port: ClassVar[bool] = True

    path: str | None = option(
        None, "Path of the event stream; default: from the launcher plugin, otherwise /event"
    )
    connect_timeout: Duration = option(Duration(5), "Time limit for one connect")
    first_event_timeout: Duration = option(Duration(10), "Time limit from the connect to the first event")
    stall_timeout: Duration | None = option(
        None, "Silence that counts as stalled; default: three heartbeats, if the server sends them"
    )
    probe_interval: Duration = option(
        Duration(30), "How often a silent server without heartbeats is probed with a second connection"
    )
    reconnect: Duration = option(Duration(1), "First delay before a new connection; it doubles each time")
    max_reconnect: Duration = option(Duration(30), "Longest delay before a new connection")
    max_event: Size = option(Size(4 * 1024 * 1024), "Largest event to deliver; a larger one is skipped")
    headers: dict[str, str | Secret] = option(
        {}, 'Additional request headers, such as { X-Token = { secret = "env:TOKEN" } }', secret=True
    )
    verify: bool = option(True, "Whether to verify the certificate (https)")
    permanent_bodies: list[str] = option(
        [], "Patterns of error bodies that no restart can fix; the launcher plugin may add more"
    )
    log_events: bool = option(False, "Whether to report every event as a notice")

    sent_headers: dict[str, str] = field(init=False, default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        check_path(self, "path")
        check_positive(
            self, "connect_timeout", "first_event_timeout", "stall_timeout", "probe_interval", "reconnect"
        )
        self.sent_headers = {name: value for name, value in self.headers.items() if isinstance(value, str)}

        if self.max_reconnect < self.reconnect:
            raise ValueError("max_reconnect: must not be shorter than reconnect")

        for pattern in self.permanent_bodies:
            try:
                re.compile(pattern)
            except re.error as error:
                raise ValueError(
                    f"permanent_bodies: {pattern!r} is no regular expression: {error}"
                ) from error

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Import aiohttp while the child starts, and read the headers that are secrets."""
        self.sent_headers = read_headers(self.headers, server, launch)
        launch.warm_up(lambda: importlib.import_module("aiohttp"))
        launch.warm_up(lambda: importlib.import_module("hostler_plugins.sse_health.watch"))

    @hookimpl
    async def health_check(
        self, server: ServerView, endpoint: Endpoint | None
    ) -> AsyncGenerator[Report, None]:
        """Report each first event and each failure, for as long as the run lasts."""
        if endpoint is None:
            yield without_port("sse-health", "switch sse-health off")
            return

        # Heavy, and not needed to read a configuration.
        from hostler_plugins.sse_health.connection import open_session  # noqa: PLC0415
        from hostler_plugins.sse_health.failures import StreamFailure  # noqa: PLC0415
        from hostler_plugins.sse_health.watch import Watch  # noqa: PLC0415

        watch = Watch(self, server, endpoint)

        async with open_session(server, endpoint) as session:
            while not watch.over:
                stream = watch.stream(session)
                try:
                    watch.opened(stream, await stream.open())
                    yield Healthy({"url": watch.url})
                    await watch.follow(stream, session)
                except StreamFailure as failure:
                    report = watch.failed(stream, failure)
                finally:
                    stream.close()
                yield report
                await watch.pause()
