"""The event stream as the sign of life: confirmed, followed, connected to again, noticed when silent."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import pairwise

import anyio
import pytest
from acceptance_world import World, five_plugins
from hostler import Event, HealthReported, State, StreamEvent, StreamGap

CONNECTED = '{"type":"server.connected","properties":{}}'


@pytest.mark.requirement("R24")
@pytest.mark.parametrize(
    "first",
    ["{}", CONNECTED, '{"id":"evt_1","type":"server.connected","properties":{}}'],
    ids=["oldest", "old", "new"],
)
async def test_the_first_event_makes_ready(first: str, world: World) -> None:
    async with world.supervisor(world.fake("--first", first, "--log-requests")) as supervisor:
        stream = supervisor["fake"].stream_events()
        await supervisor["fake"].wait_ready(20)

        with anyio.fail_after(5):
            item = await anext(stream)

        assert isinstance(item, StreamEvent)
        assert item.data == first

    assert "request GET /event" in world.logged()


@pytest.mark.requirement("R24")
async def test_a_comment_confirms_the_stream_too(world: World) -> None:
    plugins = five_plugins(sse_health={"path": "/api/event"})
    switches = ("--event-path", "/api/event", "--heartbeat", "0.1", "--heartbeat-kind", "comment")

    async with world.supervisor(world.fake(*switches, plugins=plugins)) as supervisor:
        await supervisor["fake"].wait_ready(20)


@pytest.mark.requirement("R25")
async def test_a_lost_stream_is_connected_to_again_and_failures_are_counted_and_reset(world: World) -> None:
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
async def test_the_waits_between_connections_grow(world: World) -> None:
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
    assert sum(waits[3:]) > sum(waits[:2])


@pytest.mark.requirement("R26")
async def test_events_are_counted_and_the_last_one_has_a_time(world: World) -> None:
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


@pytest.mark.requirement("R27")
async def test_a_stream_that_falls_silent_is_noticed(world: World) -> None:
    events: list[Event] = []
    plugins = five_plugins(sse_health={"stall_timeout": "300ms", "reconnect": "20ms"})

    async with world.supervisor(world.fake("--events", "stall", plugins=plugins), events) as supervisor:
        server = supervisor["fake"]

        with anyio.fail_after(20):
            await server.wait_ready()
            await server.until(lambda: server.health == "unhealthy" or server.generation > 1)

    lost = next(e for e in events if isinstance(e, HealthReported) and e.healthy is False)
    assert "nothing came for 0.3 s" in lost.reason
