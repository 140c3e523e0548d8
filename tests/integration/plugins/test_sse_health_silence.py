import asyncio
import signal
import time

import pytest
from health_servers import (
    FIRST,
    HEAD,
    HealthContext,
    answering,
    healthy,
    request,
    running,
    silent,
    unhealthy,
    until_closed,
    watching,
)
from hostler import Duration
from hostler_plugins.sse_health import SseHealth, timing

BEAT = '{"type":"server.heartbeat","properties":{}}'
QUICK = Duration(0.2)


@pytest.mark.requirement("R27")
async def test_a_stream_that_falls_silent_for_the_stall_timeout_has_stalled() -> None:
    host = HealthContext()
    health = SseHealth(stall_timeout=Duration(0.3))
    async with (
        running("--events", "stall", "--events", "ok") as server,
        watching(health, host, server.endpoint) as reports,
    ):
        await healthy(reports)
        report = await unhealthy(reports)
        await healthy(reports)

    assert report.details["kind"] == "stalled"
    assert "nothing came for 0.3 s" in report.reason
    assert host.gaps == ["nothing came for 0.3 s; events in between may be lost"]


@pytest.mark.parametrize("kind", ["comment", "event"])
async def test_heartbeats_of_any_kind_keep_a_stream_alive(kind: str) -> None:
    health = SseHealth(stall_timeout=Duration(0.8))
    async with (
        running("--heartbeat", "0.1", "--heartbeat-kind", kind) as server,
        watching(health, HealthContext(), server.endpoint) as reports,
    ):
        await healthy(reports)
        assert await silent(reports, 1.2)


@pytest.mark.parametrize("beat", [b": beat\n\n", b"event: heartbeat\ndata\n\n", f"data: {BEAT}\n\n".encode()])
async def test_heartbeats_that_stop_are_noticed_without_any_setting(
    beat: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timing, "_SHORTEST_LIMIT", 0.5)  # else the test would take 30 s

    async def stop_after_three(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(HEAD + FIRST)
        for _ in range(3):
            await asyncio.sleep(0.1)
            writer.write(beat)
        await until_closed(reader)

    async with (
        answering(stop_after_three) as endpoint,
        watching(SseHealth(), HealthContext(), endpoint) as reports,
    ):
        await healthy(reports)
        start = time.monotonic()
        report = await unhealthy(reports)

    assert report.details["kind"] == "stalled"
    assert 0.75 < time.monotonic() - start < 4


async def test_a_silent_server_without_heartbeats_is_asked_by_a_second_connection_and_left_in_peace() -> None:
    health = SseHealth(probe_interval=QUICK)
    async with running("--log-requests") as server:
        async with watching(health, HealthContext(), server.endpoint) as reports:
            await healthy(reports)
            assert await silent(reports, 0.7)
        lines = [await server.line() for _ in range(4)]
    assert lines == ["request GET /event", "request GET /event", "stream closed", "request GET /event"]


async def test_a_frozen_server_without_heartbeats_is_noticed() -> None:
    host = HealthContext()
    health = SseHealth(probe_interval=QUICK, first_event_timeout=QUICK)
    async with running() as server, watching(health, host, server.endpoint) as reports:
        await healthy(reports)
        server.process.send_signal(signal.SIGSTOP)
        report = await unhealthy(reports)

    assert report.details["kind"] == "no_answer"
    assert "silent, and a second connection fails" in report.reason
    assert len(host.gaps) == 1
