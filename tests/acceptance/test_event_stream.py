"""The event stream as the sign of life: confirmed, followed, connected to again, noticed when silent."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import anyio
import pytest
from cli_project import Project, five_plugins
from hostler import Event, HealthReported, State, StreamEvent, StreamGap

# A server that sends the given bytes, a write for each word, to whoever asks for anything, and then nothing.
RAW = """
import socket, sys, time
port, *pieces = sys.argv[1:]
listener = socket.create_server(("127.0.0.1", int(port)))
print(f"listening on port {port}", flush=True)
asking = []

while True:
    asking.append(listener.accept()[0])
    asking[-1].recv(65536)
    asking[-1].sendall(b"HTTP/1.1 200 OK\\r\\nContent-Type: text/event-stream\\r\\n\\r\\n")

    for piece in pieces:
        asking[-1].sendall(bytes.fromhex(piece))
        time.sleep(0.01)
"""
CONNECTED = '{"type":"server.connected","properties":{}}'


@pytest.mark.requirement("R24")
@pytest.mark.parametrize(
    "first",
    ["{}", CONNECTED, '{"id":"evt_1","type":"server.connected","properties":{}}'],
    ids=["oldest", "old", "new"],
)
async def test_the_first_event_makes_ready(first: str, world: Project) -> None:
    async with world.supervisor(world.fake("--first", first, "--log-requests")) as supervisor:
        stream = supervisor["fake"].stream_events()
        await supervisor["fake"].wait_ready(20)
        with anyio.fail_after(5):
            item = await anext(stream)
        assert isinstance(item, StreamEvent)
        assert item.data == first
    assert "request GET /event" in world.logged()


@pytest.mark.requirement("R24")
async def test_a_comment_confirms_the_stream_too(world: Project) -> None:
    async with world.supervisor(raw(world, b": nothing but a comment\n")) as supervisor:
        await supervisor["raw"].wait_ready(20)


def raw(world: Project, *pieces: bytes) -> Path:
    command = [sys.executable, "-c", RAW, "${server.port}", *(piece.hex() for piece in pieces)]
    return world.configure(raw={"command": command, "plugins": {"regex-port": {}, "sse-health": {}}})


@pytest.mark.requirement("R25")
async def test_a_lost_stream_is_connected_to_again_and_failures_are_counted_and_reset(world: Project) -> None:
    events: list[Event] = []
    modes = ["end-after 2", "status 503", "ok"]
    switches = [word for mode in modes for word in ("--events", *mode.split())]
    async with world.supervisor(world.fake(*switches), events) as supervisor:
        server = supervisor["fake"]
        stream = server.stream_events()
        with anyio.fail_after(20):
            await server.wait_ready()
            items = [await anext(stream) for _ in range(4)]
            await server.until(lambda: server.health == "healthy")
        told = [
            (e.healthy, e.failures)
            for e in events
            if isinstance(e, HealthReported) and e.plugin == "sse-health"
        ]
        assert told[:4] == [(True, 0), (False, 1), (False, 2), (True, 0)]
        assert [type(item) for item in items] == [StreamEvent, StreamEvent, StreamGap, StreamEvent]
        assert (server.state, server.restarts) == (State.RUNNING, 0)


@pytest.mark.requirement("R25")
async def test_the_waits_between_connections_grow(world: Project) -> None:
    events: list[Event] = []
    plugins = five_plugins(sse_health={"reconnect": "100ms", "max_reconnect": "10s"})
    switches = ("--events", "end-after", "1", "--events", "status", "503")
    file = world.fake(*switches, plugins=plugins, max_connection_failures=6)
    async with world.supervisor(file, events) as supervisor:
        with anyio.fail_after(30):
            await supervisor["fake"].wait_ready()
            await supervisor["fake"].until(lambda: supervisor["fake"].state is not State.RUNNING)

    failed = [e.time.timestamp() for e in events if isinstance(e, HealthReported) and e.healthy is False][:6]
    waits = [later - earlier for earlier, later in pairwise(failed)]
    assert len(waits) == 5
    assert sum(waits[3:]) > 2 * sum(waits[:2])  # what chance alone cannot make of equal waits


@pytest.mark.requirement("R26")
async def test_events_are_counted_and_the_last_one_has_a_time(world: Project) -> None:
    began = datetime.now(UTC)

    async with world.supervisor(world.fake("--events", "burst", "1000")) as supervisor:
        server = supervisor["fake"]
        stream = server.stream_events()
        await server.wait_ready(20)
        with anyio.fail_after(10):
            for _ in range(1000):
                assert isinstance(await anext(stream), StreamEvent)
        assert server.event_count == 1000
        assert server.last_event_at is not None
        assert began <= server.last_event_at <= datetime.now(UTC)


@pytest.mark.requirement("R26")
async def test_the_time_is_that_of_the_last_event(world: Project) -> None:
    async with world.supervisor(world.fake("--heartbeat", "0.1")) as supervisor:
        server = supervisor["fake"]
        stream = server.stream_events()
        with anyio.fail_after(20):
            await anext(stream)
            first = server.last_event_at
            await anext(stream)
        assert first is not None
        assert server.last_event_at is not None
        assert server.last_event_at > first


UNUSUAL = (
    b"\xef\xbb\xbfdata: one\r: a comment\rdata:two\r\ndata\r\n\r\n"
    b"event: named\nid: 7\ndata: \xc3\xa9\n\n"
    b"event: without data\n\n"
    b"retry: 10\nunknown: field\ndata: {}\r\r"  # the id still holds, the type does not
    b"id\ndata:  two spaces\n\n"
    b"data: unfinished"
)


@pytest.mark.requirement("R26")
async def test_events_are_read_as_the_standard_says(world: Project) -> None:
    pieces = [UNUSUAL[at : at + 5] for at in range(0, len(UNUSUAL), 5)]
    async with world.supervisor(raw(world, *pieces)) as supervisor:
        stream = supervisor["raw"].stream_events()
        with anyio.fail_after(20):
            events = [await anext(stream) for _ in range(4)]
        assert events == [
            StreamEvent("message", "one\ntwo\n", ""),
            StreamEvent("named", "é", "7"),
            StreamEvent("message", "{}", "7"),
            StreamEvent("message", " two spaces", ""),
        ]


@pytest.mark.requirement("R27")
async def test_a_stream_that_falls_silent_is_noticed(world: Project) -> None:
    events: list[Event] = []
    plugins = five_plugins(sse_health={"stall_timeout": "300ms", "reconnect": "20ms"})
    async with world.supervisor(world.fake("--events", "stall", plugins=plugins), events) as supervisor:
        server = supervisor["fake"]
        with anyio.fail_after(20):
            await server.wait_ready()
            await server.until(lambda: server.health == "unhealthy" or server.generation > 1)

    lost = next(e for e in events if isinstance(e, HealthReported) and e.healthy is False)
    assert "nothing came for 0.3 s" in lost.reason
