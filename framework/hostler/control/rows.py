"""Servers and events as the control API shows them."""

from __future__ import annotations

from datetime import UTC, datetime

from hostler import Event, HealthReport, Server
from hostler.control.memory import Sample
from hostler.control.server_shapes import HealthWord, LastCrash, Memory, Restarts, ServerRow


def server_row(server: Server, sample: Sample | None) -> ServerRow:
    """The row of a server now, `sample` being its last. Its texts are masked, as all that hostler tells."""
    return ServerRow(
        name=server.name,
        kind=server.spec.kind.value,
        template=server.spec.template,
        autostart=server.spec.autostart,
        wanted="up" if server.wanted else "down",
        state=server.state.value,
        since=None if (change := server.last_change) is None else format_time(change.time),
        reason="" if change is None else change.reason,
        generation=server.generation,
        pid=server.pid,
        url=server.url,
        uptime=None if server.pid is None else round(server.uptime, 3),
        ready_seconds=None if server.ready_seconds is None else round(server.ready_seconds, 3),
        health=server.health,
        health_words=[_word(name, report) for name, report in server.reports.items()],
        restarts=_restarts(server),
        memory=None if sample is None else _memory(sample),
        cpu_seconds=None if sample is None else sample.cpu,
        crashes=0 if (last := _last_crash(server)) is None else last.number,
        last_crash=last,
        events=server.event_count,
        last_event=_time(server.last_event_at),
        completed=server.completed,
        stuck=server.stuck,
        hooks_out=[f"{plugin}.{hook}" for (plugin, hook), one in server.hook_stats.items() if one.disabled],
        needs=[need.server for need in server.spec.needed],
        log=None if server.log is None else str(server.log.path),
        stop_asked=server.stop_asked,
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


def _restarts(server: Server) -> Restarts:
    used, allowed = server.restart_budget
    return Restarts(used=used, allowed=allowed, next_try=_time(server.next_try), total=server.restarts)


def _memory(sample: Sample) -> Memory:
    return Memory(rss=sample.rss, processes=sample.processes, at=format_time(sample.time))


def _last_crash(server: Server) -> LastCrash | None:
    if not server.crashes:
        return None
    last = server.crashes[-1]
    return LastCrash(number=last.number, when=format_time(last.when), how=last.how, decision=last.decision)


def _time(time: datetime | None) -> str | None:
    return None if time is None else format_time(time)


def format_time(time: datetime) -> str:
    """A time as RFC 3339 has it: UTC with milliseconds."""
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
