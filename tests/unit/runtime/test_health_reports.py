"""What health plugins saw: in the event, for programs and plugins, and for `hostler explain`."""

from __future__ import annotations

import json
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import anyio
import pytest
from hostler import (
    Directories,
    Event,
    HealthReported,
    Healthy,
    PluginSpec,
    Report,
    Server,
    ServerView,
    Supervisor,
    Unhealthy,
    hookimpl,
    poll,
)
from hostler.cli.explain import explained
from hostler.records.inspect import inspect_server
from specs import MakeSpec, announced

SECRET = "correct-horse-battery"


@dataclass(eq=False)
class Doctor:
    """Reports what it is told to, with a latency, and fails itself after the last."""

    reports: list[Report]
    seen: list[object] = field(default_factory=list)
    next: anyio.Event = field(default_factory=anyio.Event)

    @hookimpl
    async def health_check(self, server: ServerView) -> AsyncGenerator[Report, None]:
        server.redact(SECRET)

        async def probe() -> Report:
            return self.reports.pop(0)

        while self.reports:
            async for report in poll(probe, interval=0.01, timeout=5):
                yield report
                self.seen.append(server.reports["doctor"].healthy)
                await self.next.wait()
                self.next = anyio.Event()
                if not self.reports:
                    raise RuntimeError(f"out of {SECRET}")


async def until(server: Server, **wanted: Any) -> None:
    with anyio.fail_after(10):
        while any(  # noqa: ASYNC110 - a report that is no change is no event
            getattr(server.reports["doctor"], name) != value for name, value in wanted.items()
        ):
            await anyio.sleep(0.01)


async def test_details_reach_events_programs_plugins_and_explain(
    make_spec: MakeSpec, directories: Directories
) -> None:
    details = {"token": SECRET, "rows": [1, {"at": Path("/x")}], "load": float("nan")}
    shown = {"token": "********", "rows": [1, {"at": "/x"}], "load": "nan"}
    doctor = Doctor([Healthy(details), Healthy({"rows": 2}), Unhealthy(f"no {SECRET}", {"status": 503})])
    spec = make_spec(plugins=(announced(), PluginSpec("doctor", instance=doctor)))
    events: list[Event] = []

    async with Supervisor(spec, directories=directories, namespace="one") as supervisor:
        server = supervisor["fake"]
        assert server.reports == {}
        supervisor.listen(events.append)
        await server.wait_ready(10)
        first = server.reports["doctor"]
        assert (first.healthy, first.reason) == (True, "")
        assert json.loads(json.dumps(first.as_dict()))["details"] == shown
        assert first.latency is not None
        assert 0 <= first.latency < 5
        assert abs((datetime.now(UTC) - first.time).total_seconds()) < 60
        assert (await explanation(directories)).endswith(
            f"Health: healthy (doctor). doctor saw at {first.time.astimezone():%H:%M:%S}: token ********, "
            f"rows [1, {{'at': '/x'}}], load nan, answered in {first.latency * 1000:.0f} ms."
        )
        frozen: list[Any] = [server.reports, first.details, cast("Any", first.details["rows"])[1]]
        for mapping in frozen:
            with pytest.raises(TypeError):
                mapping["more"] = 1

        doctor.next.set()
        await until(server, details={"rows": 2})  # no change of health, and yet the newest
        doctor.next.set()
        await until(server, healthy=False, reason="no ********", details={"status": 503})
        doctor.next.set()
        await until(server, healthy=None, reason="RuntimeError: out of ********", details={}, latency=None)

    assert server.reports == {}
    assert doctor.seen == [True, True, False]
    reported = [event for event in events if isinstance(event, HealthReported)]
    assert [event.details for event in reported] == [shown, {"status": 503}, {}]
    assert [event.latency is None for event in reported] == [False, False, True]
    assert "report" not in reported[0].as_dict()
    assert json.loads(json.dumps(reported[0].as_dict(), allow_nan=False))["details"] == shown


async def explanation(directories: Directories) -> str:
    """What `hostler explain` tells once the state is on disk."""
    with anyio.fail_after(10):
        while "answered" not in (text := told(directories)):  # noqa: ASYNC110 - a file tells no event
            await anyio.sleep(0.05)
    return text


def told(directories: Directories) -> str:
    return "\n".join(explained(inspect_server("fake", "one", directories)))
