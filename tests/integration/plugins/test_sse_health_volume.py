import asyncio

import anyio
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
from hostler import Duration, Size, StreamEvent
from hostler_plugins.sse_health import SseHealth

BEAT = '{"type":"server.heartbeat","properties":{}}'


async def test_every_event_is_delivered_in_order() -> None:
    host = HealthContext()
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
    host = HealthContext()
    most = 0
    event = b"data: " + b"x" * 192 + b"\n\n"

    async def burst(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(HEAD + event * 100_000)
        await until_closed(reader)

    async def tick() -> None:
        nonlocal most
        while True:
            before = len(host.delivered)
            await asyncio.sleep(0)
            most = max(most, len(host.delivered) - before)

    async with answering(burst) as endpoint, watching(SseHealth(), host, endpoint) as reports:
        ticking = asyncio.create_task(tick())
        await healthy(reports)
        pending = asyncio.ensure_future(anext(reports))
        with anyio.fail_after(60):
            await host.until(100_000)
        ticking.cancel()
        pending.cancel()
        await asyncio.gather(ticking, pending, return_exceptions=True)

    assert 0 < most < 5_000, "so many events in one turn of the loop"


async def test_large_events_are_skipped_and_told_once_while_the_connection_and_its_health_go_on() -> None:
    host = HealthContext()
    connections = 0
    large = b"id: %d\ndata: " + b"x" * 5000 + b"\n\n"

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        await request(reader)
        writer.write(HEAD + FIRST + b"".join(large % n for n in range(5)) + b"data: last\n\n")
        await until_closed(reader)

    health = SseHealth(max_event=Size(1000))
    async with answering(serve) as endpoint, watching(health, host, endpoint) as reports:
        await healthy(reports)
        assert await silent(reports, 0.5)

    assert connections == 1
    assert host.data == ["first", "last"]
    assert host.gaps == ["an event of more than 1000 bytes was skipped"] * 5
    assert isinstance(host.delivered[-1], StreamEvent)
    assert host.delivered[-1].id == "4"
    ((topic, text, level, _),) = host.notices
    assert (topic, level) == ("event_skipped", "warning")
    assert "raise max_event" in text


@pytest.mark.parametrize(
    "piece", [b"data: x\n" * 8192, b"x" * 65536, b": " + b"x" * 65536], ids=["event", "line", "comment"]
)
async def test_what_never_ends_is_no_sickness_as_long_as_it_goes_on(piece: bytes) -> None:
    host = HealthContext()

    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(HEAD + FIRST + b"data: second\n\n")
        while True:
            writer.write(piece)
            await writer.drain()

    async with answering(endless) as endpoint, watching(SseHealth(), host, endpoint) as reports:
        await healthy(reports)
        pending = asyncio.ensure_future(anext(reports))
        with anyio.fail_after(20):
            await host.until(3)  # two events and the gap
        done, _ = await asyncio.wait({pending}, timeout=1)
        pending.cancel()
        await asyncio.gather(pending, return_exceptions=True)

    assert not done

    assert host.data == ["first", "second"]
    assert [text.partition(";")[0] for _, text, _, _ in host.notices] == host.gaps
    assert len(host.gaps) == 1


@pytest.mark.parametrize("ends", [True, False])
async def test_a_first_event_that_is_too_large_is_a_first_event_once_it_has_ended(ends: bool) -> None:
    async def large(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(HEAD + b"data: " + b"x" * 5000 + b"\n\n"[: 2 if ends else 1])
        await until_closed(reader)

    health = SseHealth(max_event=Size(1000), first_event_timeout=Duration(0.3))
    async with answering(large) as endpoint, watching(health, HealthContext(), endpoint) as reports:
        if ends:
            await healthy(reports)
        else:
            assert (await unhealthy(reports)).details["kind"] == "no_first_event"
