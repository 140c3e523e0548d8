import asyncio
import time

import anyio
import pytest
from hostler import Size, StreamEvent
from hostler_plugins.sse_health import SseHealth
from sse_watching import (
    FIRST,
    HEAD,
    Host,
    answering,
    healthy,
    request,
    running,
    silent,
    unhealthy,
    until_closed,
    watching,
)

BEAT = '{"type":"server.heartbeat","properties":{}}'


async def test_every_event_is_delivered_in_order() -> None:
    host = Host()

    async with (
        running("--events", "burst", "5000", "--heartbeat", "0.05") as server,
        watching(SseHealth(), host, server.endpoint) as reports,
    ):
        await healthy(reports)
        assert await silent(reports, 1)

    numbers = [item.id for item in host.delivered if isinstance(item, StreamEvent) and item.id]
    assert numbers[:4999] == [str(number) for number in range(1, 5000)]
    assert BEAT in host.data[5000:]


async def test_a_burst_of_events_leaves_the_loop_to_others() -> None:
    host = Host()
    longest = 0.0
    event = b"data: " + b"x" * 192 + b"\n\n"

    async def burst(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(HEAD + event * 100_000)
        await until_closed(reader)

    async def tick() -> None:
        nonlocal longest

        while True:
            start = time.thread_time()  # what this loop works; what others do to the machine is not its doing
            await asyncio.sleep(0.001)
            longest = max(longest, time.thread_time() - start)

    async with answering(burst) as endpoint, watching(SseHealth(), host, endpoint) as reports:
        ticking = asyncio.create_task(tick())
        await healthy(reports)
        pending = asyncio.ensure_future(anext(reports))

        with anyio.fail_after(20):
            await host.until(100_000)

        ticking.cancel()
        pending.cancel()
        await asyncio.gather(ticking, pending, return_exceptions=True)

    assert longest < 0.5


@pytest.mark.parametrize("size", ["--flood-event", "--flood-line"])
async def test_an_event_without_end_is_refused_and_what_came_before_is_kept(size: str) -> None:
    host = Host()
    piece = b"data: x\n" * 8192 if size == "--flood-event" else b"x" * 65536

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(HEAD + FIRST + b"data: second\n\n")

        while True:
            writer.write(piece)
            await writer.drain()

    async with answering(endless) as endpoint, watching(SseHealth(), host, endpoint) as reports:
        await healthy(reports)
        report = await unhealthy(reports, seconds=20)

    assert report.details["kind"] == "too_large"
    assert "more than 4194304 bytes" in report.reason
    assert "max_event" in str(report.error)
    assert host.data == ["first", "second"]


async def test_an_event_that_is_too_large_from_the_start_keeps_what_came_with_it() -> None:
    host = Host()

    async def large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(HEAD + FIRST + b"data: " + b"x" * 5000 + b"\n\n")
        await until_closed(reader)

    health = SseHealth(max_event=Size(1000))

    async with answering(large) as endpoint, watching(health, host, endpoint) as reports:
        await healthy(reports)
        assert (await unhealthy(reports)).details["kind"] == "too_large"

    assert host.data == ["first"]
