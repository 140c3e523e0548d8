"""One server as the control API shows it: what its `Server` knows, and what its events have told."""

from __future__ import annotations

from datetime import UTC, datetime

from hostler import CrashRecord, Event, HealthReport, Server
from hostler.control.board import Seen
from hostler.control.shapes import HealthWord, LastCrash, Memory, Restarts, ServerRow


def server_row(server: Server, seen: Seen) -> ServerRow:
    """The row of a server now. Its texts are masked, as all that hostler tells."""
    return ServerRow(
        name=server.name,
        kind=server.spec.kind.value,
        wanted="up" if server.wanted else "down",
        state=server.state.value,
        since=_time(seen.since),
        reason=seen.reason,
        generation=server.generation,
        pid=server.pid,
        url=server.url,
        uptime=None if server.pid is None else round(server.uptime, 3),
        ready_seconds=seen.ready_seconds,
        health=server.health,
        health_words=[_word(name, report) for name, report in server.reports.items()],
        restarts=_restarts(server, seen),
        memory=_memory(seen),
        crashes=seen.crashes,
        last_crash=_last_crash(server.crashes),
        events=server.event_count,
        last_event=_time(server.last_event_at),
        completed=server.completed,
        stuck=server.stuck,
        hooks_out=list(seen.hooks_out),
        needs=[need.server for need in server.spec.needed],
    )


def event_row(event: Event, cursor: str) -> dict[str, object]:
    """An event as its `as_dict`, with its cursor, and without the values of environment variables.

    Those stand in the answer with the connection of a server alone; `origins` has their names.
    """
    row = event.as_dict() | {"cursor": cursor}
    return row | {"env": None} if "env" in row else row


def _word(plugin: str, report: HealthReport) -> HealthWord:
    return HealthWord(
        plugin=plugin, healthy=report.healthy, reason=report.reason, since=format_time(report.time)
    )


def _restarts(server: Server, seen: Seen) -> Restarts:
    used, allowed = server.restart_budget
    return Restarts(used=used, allowed=allowed, next_try=_time(seen.next_try), total=server.restarts)


def _memory(seen: Seen) -> Memory | None:
    sample = seen.memory
    if sample is None:
        return None
    return Memory(rss=sample.rss, processes=sample.processes, at=format_time(sample.time))


def _last_crash(crashes: tuple[CrashRecord, ...]) -> LastCrash | None:
    if not crashes:
        return None
    last = crashes[-1]
    return LastCrash(when=format_time(last.when), how=last.how, decision=last.decision)


def _time(time: datetime | None) -> str | None:
    return None if time is None else format_time(time)


def format_time(time: datetime) -> str:
    """A time as RFC 3339 has it: UTC with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
