"""`/metrics`: what Prometheus and its like scrape, made at each scrape of what is there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass

from hostler import ServerCounts, Supervisor
from hostler.control.event_stream import EventFeed
from hostler.control.former_servers import HookSums
from hostler.control.problems import Refused
from hostler.control.request_counts import RequestCounts
from hostler.control.routes import Call, Route, Text
from hostler.control.rows import server_row
from hostler.control.server_shapes import ServerRow

_TEXTS = ("text/plain", "application/openmetrics-text")
_MISSING = "metrics need prometheus-client beside hostler: pip install 'hostler[metrics]'"


@dataclass(frozen=True, slots=True)
class ServerSnapshot:
    """One server at the time of a scrape; `cpu_seconds` of all its runs."""

    row: ServerRow
    counts: ServerCounts
    cpu_seconds: float | None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that a scrape tells, taken between two awaits."""

    servers: tuple[ServerSnapshot, ...]
    hooks: dict[tuple[str, str], HookSums]
    dropped_events: int
    answers: dict[tuple[str, int], int]
    streams: int


class Metrics:
    """Answers scrapes of one supervisor."""

    def __init__(self, supervisor: Supervisor, feed: EventFeed, requests: RequestCounts) -> None:
        self._supervisor = supervisor
        self._feed = feed
        self._ring = feed.ring
        self._requests = requests

    def routes(self) -> Iterator[Route]:
        """All that this answers."""
        yield Route("GET", "/metrics", self.metrics, str, texts=_TEXTS)

    async def metrics(self, call: Call) -> tuple[int, object]:
        """Metrics for Prometheus, as text or OpenMetrics."""
        await self._ring.memory.refresh()
        # The library is not imported, and thousands of lines are not written, while servers wait for us.
        return 200, await asyncio.to_thread(_written, self._snapshot(), call.accept)

    def _snapshot(self) -> Snapshot:
        memory = self._ring.memory
        servers = tuple(
            ServerSnapshot(server_row(one, memory.last(one)), one.counts, memory.cpu_seconds(one))
            for one in self._supervisor.servers.values()
        )
        return Snapshot(
            servers,
            self._ring.former.hooks,
            self._ring.former.dropped_events + self._feed.missed,
            dict(self._requests.answers),
            self._requests.streams,
        )


def _written(snapshot: Snapshot, accept: str) -> Text:
    try:
        from hostler.control.metric_families import written  # noqa: PLC0415 - brings the library, of an extra
    except ModuleNotFoundError:
        raise Refused("unsupported", _MISSING) from None
    return written(snapshot, accept)
