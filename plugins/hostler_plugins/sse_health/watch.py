"""Watches the event stream of one run over all its connections."""

from __future__ import annotations

import asyncio
import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from hostler import (
    Endpoint,
    EventStreamConnectionFailed,
    HealthRule,
    InvalidConfiguration,
    ServerView,
    StreamEvent,
    StreamGap,
    Unhealthy,
    is_heartbeat,
)

from hostler_plugins.sse_health.connection import EventStream, StreamTarget
from hostler_plugins.sse_health.failures import StreamFailure
from hostler_plugins.sse_health.timing import HeartbeatMonitor, Refusals, Retries

if TYPE_CHECKING:
    import aiohttp

    from hostler_plugins.sse_health import SseHealth

_SHOWN = 500  # characters of an event or of a body in a message
_PATIENCE = 5.0  # some servers answer 401 or 404 before they have registered all that they serve
_HINT = "look at its log; raise startup_timeout if it only needs longer"


class Watch:
    """Where to connect, when again, and what was learnt on the way; `over` is set when never again."""

    def __init__(self, options: SseHealth, server: ServerView, endpoint: Endpoint) -> None:
        self.url = endpoint.url + (options.path or str(server.facts.get("health_path") or "/event"))
        self.over = False
        self._delay = 0.0
        self._options = options
        self._server = server
        self._retries = Retries(options.reconnect, options.max_reconnect)
        self._heartbeats = HeartbeatMonitor(options.stall_timeout)
        # A start must not run out of time before the first attempt has told what is missing. And OpenCode
        # never answers what it is asked in the half second before it prints that it listens.
        self._patience = min(options.first_event_timeout, server.spec.startup_timeout / 30)
        self._refusals = Refusals(self._patience_with_refusals())
        self._last_event_id = ""
        self._comments = 0
        self._told_of_skipped = False

    def _patience_with_refusals(self) -> float:
        """For ever where another plugin may find the server well: then this one must not end it."""
        if getattr(self._server.spec, "health", HealthRule.ALL) is HealthRule.ANY:
            return math.inf
        return min(_PATIENCE, self._server.spec.startup_timeout / 3)

    def stream(self, session: aiohttp.ClientSession) -> EventStream:
        """A connection to make, which goes on where the last one ended."""
        return EventStream(session, self._target(), last_event_id=self._last_event_id)

    def opened(self, stream: EventStream, events: list[StreamEvent | StreamGap]) -> None:
        """The first events came."""
        now = time.monotonic()
        self._retries.opened(now)
        self._heartbeats.started(now)
        self._refusals.end()
        self._patience = self._options.first_event_timeout
        self._comments = 0
        self._heard(stream, events)

    async def follow(self, stream: EventStream, session: aiohttp.ClientSession) -> None:
        """Hand on what comes, for ever; raises StreamFailure."""
        while True:
            limit = self._heartbeats.limit
            try:
                self._heard(stream, await stream.read(limit or self._options.probe_interval))
            except TimeoutError as error:
                if limit is not None:
                    raise StreamFailure("stalled", f"nothing came for {limit:g} s") from error
                await self._probe(session)

    def failed(self, stream: EventStream, failure: StreamFailure) -> Unhealthy:
        """The report of a connection that could not be had, or is over; `pause` follows."""
        if stream.opened:
            self._last_event_id = stream.parser.last_event_id
            self._server.deliver(StreamGap(f"{failure.text}; events in between may be lost"))
        elif failure.kind in {"no_answer", "no_first_event"}:
            self._patience = min(self._patience * 2, self._options.first_event_timeout)

        wanted = None if stream.parser.retry is None else stream.parser.retry / 1000
        self._delay = self._retries.failed(time.monotonic(), wanted=wanted, required=failure.retry_after)
        self._note_refusal(failure)
        reason = f"GET {self.url.partition('?')[0]}: {failure.text}"
        details = {"kind": failure.kind, "attempt": self._retries.failures, **failure.details}
        report = _report(reason, failure, details)

        if not self.over:
            return report

        # A server that had a stream in this run may have one in the next.
        return replace(report, fatal=self._retries.ever_opened, permanent=not self._retries.ever_opened)

    def _note_refusal(self, failure: StreamFailure) -> None:
        """Ask ever more seldom for what it says there is not, and soon no more."""
        if not failure.lasting:
            self._refusals.end()
            return
        wait = self._refusals.refused(time.monotonic())
        self.over = wait is None or (failure.final and self._refusals.patience < math.inf)
        self._delay = max(self._delay, min(wait or 0.0, self._options.max_reconnect))

    async def pause(self) -> None:
        """Wait before the next connection, if there is to be one."""
        await asyncio.sleep(0.0 if self.over else self._delay)

    def _target(self) -> StreamTarget:
        """Made anew for each connection: a launcher may learn the password after the start."""
        options, server = self._options, self._server
        auth = {} if server.auth is None else {"Authorization": server.auth.header}
        known = server.facts.get("permanent_bodies", ())
        patterns = (*options.permanent_bodies, *(known if isinstance(known, tuple | list) else ()))
        return StreamTarget(
            url=self.url,
            headers=auth | options.sent_headers,
            verify=options.verify,
            connect_timeout=min(options.connect_timeout, self._patience),
            first_event_timeout=self._patience,
            max_event=options.max_event,
            permanent_bodies=tuple(re.compile(str(pattern)) for pattern in patterns),
        )

    def _heard(self, stream: EventStream, events: list[StreamEvent | StreamGap]) -> None:
        if stream.parser.comments != self._comments:
            self._comments = stream.parser.comments
            self._heartbeats.beat(time.monotonic())

        for event in events:
            self._server.deliver(event)
            if isinstance(event, StreamGap):
                self._tell_of_skipped(event)
                continue
            if is_heartbeat(event):
                self._heartbeats.beat(time.monotonic())
            if self._options.log_events:
                text = f"{event.type}: {event.data[:_SHOWN]}"
                self._server.notice("stream_event", text, type=event.type, id=event.id)

    def _tell_of_skipped(self, gap: StreamGap) -> None:
        """Say it once for each run: the server is well, and may send many of them."""
        if not self._told_of_skipped:
            self._told_of_skipped = True
            text = f"{gap.reason}; more of them are only counted: raise max_event of sse-health to get them"
            self._server.notice("event_skipped", text, level="warning", max_event=self._options.max_event)

    async def _probe(self, session: aiohttp.ClientSession) -> None:
        """Open a second stream to a silent server: nothing else shows whether it still works."""
        stream = EventStream(session, self._target())
        try:
            await stream.open()
        except StreamFailure as failure:
            failure.text = f"silent, and a second connection fails: {failure.text}"
            raise
        finally:
            stream.close()


def _report(reason: str, failure: StreamFailure, details: dict[str, object]) -> Unhealthy:
    said = _message(failure.body)

    if failure.permanent:
        broken = InvalidConfiguration(
            f"it cannot work with its configuration: {said}",
            hint="correct what it names; a restart cannot help",
        )
        return Unhealthy(f"{reason}: {said}", details, permanent=True, error=broken)

    if said and failure.kind in {"server_error", "wrong_status"}:
        reason += f": {said}"

    message = f"it is up and listens, but its event stream cannot be used: {reason}"
    return Unhealthy(
        reason,
        details,
        error=EventStreamConnectionFailed(message, hint=failure.hint or _HINT, details=details),
    )


def _message(body: str) -> str:
    """What an error body says, in one line: the texts in a JSON object, or its beginning."""
    try:
        texts = list(_texts(json.loads(body)))
    except (ValueError, RecursionError):
        texts = []
    return (" ".join(texts) or " ".join(body.split()))[:_SHOWN]


def _texts(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)
