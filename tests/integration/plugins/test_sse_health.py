import asyncio
import subprocess
import sys
import time
from pathlib import Path

import anyio
import pytest
from health_servers import (
    HEAD,
    HealthContext,
    answering,
    healthy,
    next_report,
    open_files,
    request,
    running,
    unhealthy,
    until_closed,
    watching,
)
from hostler import Auth, EventStreamConnectionFailed, StreamEvent
from hostler_plugins.sse_health import SseHealth
from launches import a_launch

CONNECTED = '{"type":"server.connected","properties":{}}'


@pytest.mark.requirement("R24")
async def test_the_first_event_means_healthy_and_is_delivered() -> None:
    host = HealthContext()
    async with running() as server, watching(SseHealth(), host, server.endpoint) as reports:
        report = await healthy(reports)
    assert report.details["url"] == server.endpoint.url + "/event"
    assert host.delivered == [StreamEvent("message", CONNECTED)]


@pytest.mark.requirement("R24")
async def test_the_empty_first_event_of_old_versions_counts() -> None:
    host = HealthContext()
    async with running("--first", "{}") as server, watching(SseHealth(), host, server.endpoint) as reports:
        await healthy(reports)
    assert host.data == ["{}"]


async def test_a_comment_is_a_first_sign_of_life() -> None:
    async def comment(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(HEAD + b": hello\n\n")
        await until_closed(reader)

    async with answering(comment) as endpoint, watching(SseHealth(), HealthContext(), endpoint) as reports:
        await healthy(reports)


async def test_a_server_that_listens_and_answers_later_is_ready_soon_after() -> None:
    switches = [part for _ in range(4) for part in ("--events", "status", "503")]
    async with (
        running(*switches, "--events", "ok") as server,
        watching(SseHealth(), HealthContext(), server.endpoint) as reports,
    ):
        start = time.monotonic()
        kinds = [(await unhealthy(reports)).details["kind"] for _ in range(4)]
        await healthy(reports)

    assert kinds == ["server_error"] * 4
    assert time.monotonic() - start < 1.5  # the waits are 20, 40, 80 and 160 ms


async def test_a_slow_first_answer_is_waited_for() -> None:
    async with (
        running("--events-delay", "0.5") as server,
        watching(SseHealth(), HealthContext(), server.endpoint) as reports,
    ):
        await healthy(reports)


async def test_a_start_learns_what_is_missing_before_its_time_is_up() -> None:
    host = HealthContext(startup_timeout=1.2)
    async with (
        running("--events", "never-headers") as server,
        watching(SseHealth(), host, server.endpoint) as reports,
    ):
        report = await unhealthy(reports, seconds=1)
    assert isinstance(report.error, EventStreamConnectionFailed)
    assert "it is up and listens, but its event stream cannot be used" in str(report.error)


async def test_the_first_attempts_of_a_short_start_are_given_ever_more_time() -> None:
    host = HealthContext(startup_timeout=0.6)
    async with (
        running("--events-delay", "0.5") as server,
        watching(SseHealth(), host, server.endpoint) as reports,
    ):
        assert (await unhealthy(reports)).details["kind"] == "no_answer"
        while (await next_report(reports)) and not host.delivered:
            pass


async def test_first_requests_that_are_never_answered_do_not_use_up_the_start() -> None:
    connections = 0

    async def lose_three(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        if connections > 3:
            await request(reader)
            writer.write(HEAD + b": hello\n\n")
        await until_closed(reader)

    host = HealthContext(startup_timeout=3)
    async with answering(lose_three) as endpoint, watching(SseHealth(), host, endpoint) as reports:
        async with asyncio.timeout(host.startup_timeout):
            for _ in range(3):
                assert (await unhealthy(reports)).details["kind"] == "no_answer"
            await healthy(reports)


async def test_a_server_that_is_ready_is_found_so_within_a_few_milliseconds() -> None:
    times = []
    async with running() as server:
        for _ in range(5):
            async with watching(SseHealth(), HealthContext(), server.endpoint) as reports:
                start = time.perf_counter()
                await healthy(reports)
                times.append(time.perf_counter() - start)
    assert min(times) < 0.03


async def test_the_credentials_of_the_server_are_sent() -> None:
    host = HealthContext(auth=Auth("opencode", "open sesame"))
    async with (
        running("--password", "open sesame") as server,
        watching(SseHealth(), host, server.endpoint) as reports,
    ):
        await healthy(reports)


async def test_headers_from_the_options_go_first() -> None:
    health = SseHealth(headers={"Authorization": Auth("opencode", "right").header})
    host = HealthContext(auth=Auth("opencode", "wrong"))
    async with (
        running("--password", "right") as server,
        watching(health, host, server.endpoint) as reports,
    ):
        await healthy(reports)


async def test_the_path_is_the_option_else_the_fact_else_event() -> None:
    async with running("--event-path", "/api/event") as server:
        for health, host in [
            (SseHealth(), HealthContext(facts={"health_path": "/api/event"})),
            (SseHealth(path="/api/event"), HealthContext(facts={"health_path": "/wrong"})),
            (SseHealth(path="/api/event?token=%2F"), HealthContext()),
        ]:
            async with watching(health, host, server.endpoint) as reports:
                await healthy(reports)
        async with watching(SseHealth(), HealthContext(), server.endpoint) as reports:
            assert (await unhealthy(reports)).details["kind"] == "not_found"


async def test_a_proxy_in_the_environment_is_no_way_to_loopback(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    async with running() as server, watching(SseHealth(), HealthContext(), server.endpoint) as reports:
        await healthy(reports)


async def test_a_server_on_ipv6_is_reached() -> None:
    async with (
        running("--host", "::1") as server,
        watching(SseHealth(), HealthContext(), server.endpoint) as reports,
    ):
        await healthy(reports)


async def test_closing_ends_the_connection_and_leaves_nothing() -> None:
    async with running("--log-requests") as server:
        async with watching(SseHealth(), HealthContext(), server.endpoint) as reports:
            await healthy(reports)
            files = open_files()
            start = time.monotonic()
        assert time.monotonic() - start < 0.5
        assert [await server.line(), await server.line()] == ["request GET /event", "stream closed"]
        assert open_files() == files - 1


async def test_cancelling_twice_while_it_reads_ends_the_connection_too() -> None:
    async with running("--log-requests") as server:
        ready = asyncio.Event()

        async def follow() -> None:
            async with watching(SseHealth(), HealthContext(), server.endpoint) as reports:
                async for _ in reports:
                    ready.set()

        task = asyncio.create_task(follow())
        await asyncio.wait_for(ready.wait(), 5)
        await asyncio.sleep(0)
        task.cancel()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

        assert [await server.line(), await server.line()] == ["request GET /event", "stream closed"]


async def test_a_cancelled_scope_of_anyio_ends_the_connection_too() -> None:
    async with running("--log-requests") as server:
        with anyio.move_on_after(0.3):
            async with watching(SseHealth(), HealthContext(), server.endpoint) as reports:
                async for _ in reports:
                    pass
        assert [await server.line(), await server.line()] == ["request GET /event", "stream closed"]


@pytest.mark.requirement("R34")
async def test_events_are_told_as_notices_on_request() -> None:
    host = HealthContext()
    async with running() as server, watching(SseHealth(log_events=True), host, server.endpoint) as reports:
        await healthy(reports)
    assert host.notices == [
        ("stream_event", f"message: {CONNECTED}", "info", {"type": "message", "id": ""}),
    ]


async def test_aiohttp_is_imported_while_the_child_starts(tmp_path: Path) -> None:
    launch = a_launch(tmp_path, port=0)
    await SseHealth().pre_spawn(HealthContext(), launch)

    imported = [getattr(warm_up(), "__name__", "") for warm_up in launch.warm_ups]
    assert imported == ["aiohttp", "hostler_plugins.sse_health.watch"]


def test_a_configuration_is_read_without_aiohttp_and_asyncio() -> None:
    code = "import sys, hostler_plugins.sse_health; print({'aiohttp', 'asyncio', 'ssl'} & set(sys.modules))"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert result.stdout == "set()\n"
