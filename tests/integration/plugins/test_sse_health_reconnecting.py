import asyncio
import time
from collections.abc import AsyncGenerator
from itertools import pairwise

import anyio
import pytest
from health_servers import (
    FIRST,
    HEAD,
    Answer,
    HealthContext,
    answering,
    healthy,
    request,
    running,
    unhealthy,
    until_closed,
    watching,
)
from hostler import Duration, HealthRule, Report, StreamGap, Unhealthy
from hostler_plugins.sse_health import SseHealth

QUICK = Duration(0.2)


async def test_a_stream_that_ends_is_a_gap_and_is_connected_to_again() -> None:
    host = HealthContext()
    async with (
        running("--events", "end-after", "2", "--events", "ok") as server,
        watching(SseHealth(reconnect=QUICK), host, server.endpoint) as reports,
    ):
        await healthy(reports)
        report = await unhealthy(reports)
        await healthy(reports)

    assert (report.details["kind"], report.details["attempt"]) == ("ended", 1)
    assert host.gaps == ["the server ended the stream; events in between may be lost"]
    assert [isinstance(item, StreamGap) for item in host.delivered] == [False, False, True, False]


async def test_a_stream_that_held_is_connected_to_again_at_once() -> None:
    async with running("--events", "ok", "--exit-after", "100") as server:
        health = SseHealth(reconnect=Duration(0.3), max_reconnect=Duration(30), stall_timeout=Duration(0.4))
        async with watching(health, HealthContext(), server.endpoint) as reports:
            await healthy(reports)
            await unhealthy(reports)
            start = time.monotonic()
            await healthy(reports)
    assert time.monotonic() - start < 0.25


@pytest.mark.requirement("R25")
async def test_the_count_of_failures_is_reset_by_a_first_event_and_not_by_a_connect() -> None:
    modes = [
        "--events",
        "end-after",
        "1",
        "--events",
        "silent",
        "--events",
        "html",
        "--events",
        "end-after",
        "1",
    ]
    health = SseHealth(reconnect=Duration(0.02), first_event_timeout=QUICK)
    async with running(*modes) as server, watching(health, HealthContext(), server.endpoint) as reports:
        await healthy(reports)
        attempts = [(await unhealthy(reports)).details["attempt"] for _ in range(3)]
        await healthy(reports)
        attempts.append((await unhealthy(reports)).details["attempt"])

    assert attempts == [1, 2, 3, 1]


async def test_streams_that_end_at_once_and_ask_for_no_wait_do_not_make_it_spin() -> None:
    connections = 0

    async def end_at_once(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await request(reader)
        writer.write(HEAD + b"retry: 0\n" + FIRST)

    async with (
        answering(end_at_once) as endpoint,
        watching(SseHealth(reconnect=QUICK), HealthContext(), endpoint) as reports,
    ):
        with anyio.move_on_after(1):
            async for _ in reports:
                pass

    assert 2 <= connections <= 7


async def test_a_wait_that_the_server_asks_for_is_bounded() -> None:
    async def wait_a_day(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(HEAD + b"retry: 86400000\n" + FIRST)

    health = SseHealth(reconnect=Duration(0.05), max_reconnect=Duration(0.3))
    async with answering(wait_a_day) as endpoint, watching(health, HealthContext(), endpoint) as reports:
        await healthy(reports)
        await unhealthy(reports)
        start = time.monotonic()
        await healthy(reports)

    assert 0.29 < time.monotonic() - start < 1


async def test_a_retry_after_is_waited_for_and_bounded() -> None:
    answers = iter([HEAD + FIRST, b"HTTP/1.1 503 Busy\r\nRetry-After: 3600\r\nContent-Length: 0\r\n\r\n"])

    async def busy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(next(answers, HEAD + FIRST))

    health = SseHealth(reconnect=Duration(0.01), max_reconnect=Duration(0.3))
    async with answering(busy) as endpoint, watching(health, HealthContext(), endpoint) as reports:
        await healthy(reports)
        assert (await unhealthy(reports)).details["kind"] == "ended"
        assert (await unhealthy(reports)).details["status"] == 503
        start = time.monotonic()
        await healthy(reports)

    assert 0.29 < time.monotonic() - start < 1


async def test_the_last_event_id_is_sent_with_the_next_connection() -> None:
    requests: list[str] = []

    async def numbered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await request(reader))
        writer.write(HEAD + b"id: 41\ndata: a\n\n" if len(requests) == 1 else HEAD + FIRST)

    async with (
        answering(numbered) as endpoint,
        watching(SseHealth(reconnect=QUICK), HealthContext(), endpoint) as reports,
    ):
        await healthy(reports)
        await unhealthy(reports)
        await healthy(reports)

    assert "last-event-id" not in requests[0].lower()
    assert "\r\nLast-Event-ID: 41\r\n" in requests[1]


@pytest.mark.parametrize("last", ["x" * 2000, "\x07", "\u2028"])
async def test_an_event_id_that_fits_in_no_header_is_not_sent(last: str) -> None:
    requests: list[str] = []

    async def numbered(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        requests.append(await request(reader))
        writer.write(HEAD + f"id: {last}\ndata: a\n\n".encode())

    async with (
        answering(numbered) as endpoint,
        watching(SseHealth(reconnect=QUICK), HealthContext(), endpoint) as reports,
    ):
        await healthy(reports)
        await unhealthy(reports)
        await healthy(reports)

    assert "last-event-id" not in requests[1].lower()


def refusing(
    line: str, head: str = "", *, after: bytes | None = None, before: int = 10**6
) -> tuple[Answer, list[float]]:
    """Answers so, from the second request on where `after` answers the first; well again after some."""
    times: list[float] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        times.append(time.monotonic())

        if len(times) == 1 and after is not None:
            writer.write(after)
        elif len(times) <= before:
            writer.write(f"HTTP/1.1 {line}\r\n{head}Content-Length: 0\r\n\r\n".encode())
        else:
            writer.write(HEAD + FIRST)
            await until_closed(reader)

    return answer, times


async def last(reports: AsyncGenerator[Report, None]) -> Report:
    """The word with which the asking has ended."""
    with anyio.fail_after(20):
        return [report async for report in reports][-1]


@pytest.mark.parametrize(
    ("line", "head", "hint"),
    [
        ("401 Unauthorized", "", "headers = { Authorization"),
        ("403 Forbidden", "", "headers = { Authorization"),
        ("404 Not Found", "", "path = "),
        ("405 Method Not Allowed", "", "path = "),
        ("406 Not Acceptable", "", "path = "),
        ("410 Gone", "", "path = "),
        ("501 Not Implemented", "", "log"),
        ("302 Found", "Location: /login\r\n", "path = "),
        ("200 OK", "Content-Type: text/html\r\n", "path = "),
    ],
)
async def test_an_answer_that_is_meant_ends_the_asking_soon_and_with_what_cures_it(
    line: str, head: str, hint: str
) -> None:
    answer, times = refusing(line, head)
    host = HealthContext(startup_timeout=4.5)
    async with answering(answer) as endpoint, watching(SseHealth(reconnect=QUICK), host, endpoint) as reports:
        report = await last(reports)

    assert isinstance(report, Unhealthy)
    assert report.permanent
    assert hint in str(report.error)
    assert len(times) <= 7
    assert times[-1] - times[0] > 1.4  # it may not have registered yet what it serves


@pytest.mark.parametrize("opened", [True, False])
async def test_who_answers_204_is_asked_no_more(opened: bool) -> None:
    answer, times = refusing("204 No Content", after=HEAD + FIRST if opened else None)
    async with (
        answering(answer) as endpoint,
        watching(SseHealth(reconnect=QUICK), HealthContext(), endpoint) as reports,
    ):
        report = await last(reports)

    assert isinstance(report, Unhealthy)
    assert (report.fatal, report.permanent) == (opened, not opened)  # the next run may serve them again
    assert len(times) == 1 + opened


@pytest.mark.parametrize("line", ["401 Unauthorized", "404 Not Found"])
async def test_what_is_served_a_moment_after_the_port_is_open_is_waited_for(line: str) -> None:
    answer, _ = refusing(line, before=4)
    async with answering(answer) as endpoint, watching(SseHealth(), HealthContext(), endpoint) as reports:
        for _ in range(4):
            assert not (await unhealthy(reports)).permanent
        await healthy(reports)


async def test_a_refusal_ends_nothing_where_another_plugin_may_find_the_server_well() -> None:
    answer, _ = refusing("404 Not Found")
    host = HealthContext(startup_timeout=0.3, rule=HealthRule.ANY)
    async with answering(answer) as endpoint, watching(SseHealth(), host, endpoint) as reports:
        for _ in range(4):
            assert not (await unhealthy(reports)).permanent


@pytest.mark.parametrize("line", ["503 Busy", "429 Too Many Requests", "404 Not Found"])
async def test_a_retry_after_is_kept_while_it_starts_too(line: str) -> None:
    answer, times = refusing(line, "Retry-After: 3600\r\n")
    health = SseHealth(reconnect=Duration(0.01), max_reconnect=Duration(0.3))
    async with answering(answer) as endpoint, watching(health, HealthContext(), endpoint) as reports:
        for _ in range(3):
            await unhealthy(reports)
    assert min(after - before for before, after in pairwise(times)) > 0.29
