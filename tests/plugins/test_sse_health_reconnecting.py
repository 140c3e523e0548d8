import asyncio
import time

import anyio
import pytest
from hostler import Duration, StreamGap
from hostler_plugins.sse_health import SseHealth
from sse_watching import FIRST, HEAD, Host, answering, healthy, request, running, unhealthy, watching

QUICK = Duration(0.2)


async def test_a_stream_that_ends_is_a_gap_and_is_connected_to_again() -> None:
    host = Host()

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

        async with watching(health, Host(), server.endpoint) as reports:
            await healthy(reports)
            await unhealthy(reports)
            start = time.monotonic()
            await healthy(reports)

    assert time.monotonic() - start < 0.25


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

    async with running(*modes) as server, watching(health, Host(), server.endpoint) as reports:
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
        watching(SseHealth(reconnect=QUICK), Host(), endpoint) as reports,
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

    async with answering(wait_a_day) as endpoint, watching(health, Host(), endpoint) as reports:
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

    async with answering(busy) as endpoint, watching(health, Host(), endpoint) as reports:
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
        watching(SseHealth(reconnect=QUICK), Host(), endpoint) as reports,
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
        watching(SseHealth(reconnect=QUICK), Host(), endpoint) as reports,
    ):
        await healthy(reports)
        await unhealthy(reports)
        await healthy(reports)

    assert "last-event-id" not in requests[1].lower()
