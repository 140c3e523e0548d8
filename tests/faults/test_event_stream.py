"""Event streams that cannot be had, break off, or bring what nobody can use."""

from __future__ import annotations

import signal
import socket
import tracemalloc
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import pytest
from cli_project import Project
from fault_setup import ONCE, configure, server_table, supervising
from hostler import (
    Event,
    EventStreamConnectionFailed,
    HealthReported,
    Notice,
    Server,
    State,
    StateChanged,
    StreamEvent,
    StreamGap,
)

pytestmark = pytest.mark.usefixtures("nothing_is_left")

NO_PASSWORD = {"password": False}
"""With one, the opencode plugin asks for the stream too."""

MODES: Mapping[str, str] = {
    "refuse": "the connection broke off before an answer",
    "never-headers": "it accepts connections, but does not answer",
    "slow-headers": "it accepts connections, but does not answer",
    "silent": "it answers, but sends no event",
    "slow-event": "it answers, but sends no event",
    "status 401": "it wants credentials (401 Unauthorized)",
    "status 404": "there is nothing at this path (404 Not Found)",
    "status 500": "it answers with an error (500 Some Reason): out of order",
    "retry-after 1": "it answers with an error (503 Some Reason): out of order",
    "html": "it answers with text/html instead of text/event-stream",
    "redirect": "it redirects (302 Found) to /elsewhere",
    "gzip": "it compresses its event stream (gzip) although that was not asked for",
    "end-after 0": "the server ended the stream",
    "reset-after 0": "the connection broke off: within an answer",
}
"""What GET /event does, and what is said of it."""


def one_for_each(
    world: Project, *before: str, after: tuple[str, ...] = (), modes: Iterable[str] = MODES, **keys: object
) -> Path:
    """A configuration with one server for each mode, called after it."""
    servers: dict[str, dict[str, Any]] = {}

    for mode in modes:
        # Twice: where a connection is reset before an answer, aiohttp itself asks once more.
        words = [word for each in (*before, mode, mode, *after) for word in ("--events", *each.split())]
        health = {"reconnect": "20ms", "max_reconnect": "50ms", "first_event_timeout": "500ms"}
        # Without a password nobody else asks; with a folder of its own none waits for another to be ready.
        plugins = {"sse_health": health, "log_rotation": {}, "opencode": NO_PASSWORD}
        words += ["--body", "out of order"]
        servers[named(mode)] = server_table(world, *words, plugins=plugins, **keys)
        servers[named(mode)]["env"] |= {"XDG_DATA_HOME": str(world.home / named(mode))}

    return world.configure(**servers)


def named(mode: str) -> str:
    return mode.replace(" ", "-")


@pytest.mark.requirement("R20")
async def test_a_stream_that_cannot_be_used_at_the_start_is_an_error_of_its_own(world: Project) -> None:
    told = {}

    with anyio.fail_after(60):
        async with supervising(world, one_for_each(world, startup_timeout="4s", restart=ONCE)) as supervisor:
            for mode in MODES:
                with pytest.raises(EventStreamConnectionFailed) as caught:
                    await supervisor[named(mode)].wait_ready()
                error = caught.value
                assert error.context.server == named(mode)
                assert error.context.hint
                assert "it is up and listens, but its event stream cannot be used" in error.message
                told[mode] = error.message

    assert [f"{mode}: {text}" for mode, text in told.items() if MODES[mode] not in text] == []


async def test_a_stream_that_is_lost_is_asked_for_again_without_a_restart(world: Project) -> None:
    events: list[Event] = []
    file = one_for_each(world, "end-after 1", after=("ok",), max_connection_failures=50)
    async with supervising(world, file, events) as supervisor:
        servers = supervisor.servers.values()
        with anyio.fail_after(60):
            for server in servers:
                await server.until(partial(is_well_again, server, events))
        assert {server.name: (server.generation, server.restarts) for server in servers} == dict.fromkeys(
            supervisor.servers, (1, 0)
        )


@pytest.mark.requirement("R22")
async def test_a_server_whose_stream_stays_lost_is_restarted(world: Project) -> None:
    events: list[Event] = []
    modes = ("refuse", "never-headers", "status 500", "html")
    restart = {"initial_delay": "10ms", "max_restarts": 1}
    # The second one is for a busy machine, on which the first may come too late.
    file = one_for_each(world, "end-after 1", "end-after 1", modes=modes, restart=restart)

    with anyio.fail_after(60):
        async with supervising(world, file, events) as supervisor:
            for server in supervisor.servers.values():
                await server.wait_stopped()
                assert isinstance(server.error, EventStreamConnectionFailed), server.name
                assert server.generation == 2

    for name in map(named, modes):
        crashes = [
            e for e in events if isinstance(e, StateChanged) and (e.server, e.state) == (name, State.CRASHED)
        ]
        assert [crash.reason.endswith("(3 times in a row)") for crash in crashes] == [True, True]


async def test_a_server_that_does_not_listen_any_more_is_restarted(world: Project) -> None:
    events: list[Event] = []
    with anyio.fail_after(30):
        async with supervising(world, configure(world, "--events", "unlisten"), events) as supervisor:
            server = supervisor["fake"]
            await server.until(lambda: server.generation == 2 and server.usable)
    assert "connection refused" in complaints(events)[1]
    assert all("GET http://127.0.0.1:" in reason for reason in complaints(events))


@pytest.mark.parametrize("mode", ["retry-after 1", "retry-date 3"])
async def test_a_server_that_asks_for_a_wait_is_left_alone_for_so_long(mode: str, world: Project) -> None:
    events: list[Event] = []
    modes = ["--events", "end-after", "1", "--events", *mode.split(), "--events", "ok"]
    plugins = {"sse_health": {"reconnect": "10ms", "max_reconnect": "5s"}, "opencode": NO_PASSWORD}

    with anyio.fail_after(30):
        async with supervising(world, configure(world, *modes, plugins=plugins), events) as supervisor:
            server = supervisor["fake"]
            await server.until(lambda: len(complaints(events)) == 2 and is_well(server))

    busy, well = [event.time for event in events if isinstance(event, HealthReported)][-2:]
    assert 0.9 < (well - busy).total_seconds() < 5


@pytest.mark.parametrize("mode", [f"large {20 * 2**20}", "endless"])
async def test_events_without_bounds_need_bounded_memory_and_are_no_sickness(
    mode: str, world: Project
) -> None:
    events: list[Event] = []
    file = configure(
        world, "--events", *mode.split(), "--heartbeat", "0.05", plugins={"opencode": NO_PASSWORD}
    )
    tracemalloc.start()

    try:
        with anyio.fail_after(30):
            async with supervising(world, file, events) as supervisor:
                server = supervisor["fake"]
                items = server.stream_events()
                while not isinstance(item := await anext(items), StreamGap):
                    pass
                assert item == StreamGap("an event of more than 4194304 bytes was skipped", 1)
                await server.until(lambda: server.state is State.RUNNING)
                assert (server.skipped_events, server.health, server.restarts) == (1, "healthy", 0)
        assert tracemalloc.get_traced_memory()[1] < 32 * 2**20
    finally:
        tracemalloc.stop()

    assert complaints(events) == []
    (notice,) = [e for e in events if isinstance(e, Notice) and e.topic == "event_skipped"]
    assert "raise max_event of sse-health" in notice.text


async def test_a_large_event_is_taken_where_that_is_allowed(world: Project) -> None:
    size = 20 * 2**20
    file = configure(world, "--events", "large", str(size), plugins={"sse_health": {"max_event": "32 MiB"}})

    with anyio.fail_after(30):
        async with supervising(world, file) as supervisor:
            items = supervisor["fake"].stream_events()
            await anext(items)
            item = await anext(items)
            assert isinstance(item, StreamEvent)
            assert len(item.data) == size


@pytest.mark.requirement("R26")
async def test_a_hundred_thousand_events_at_once_are_counted_and_kept_in_bounded_memory(
    world: Project,
) -> None:
    file = configure(world, "--events", "burst", "100000", plugins={"opencode": NO_PASSWORD})

    with anyio.fail_after(60):
        async with supervising(world, file) as supervisor:
            server = supervisor["fake"]
            prompt, slow = server.stream_events(), server.stream_events()
            seen = missed = 0
            while seen + missed < 100_000:
                item = await anext(prompt)
                seen += isinstance(item, StreamEvent)
                missed += (item.missed or 0) if isinstance(item, StreamGap) else 0
            assert server.event_count == 100_000
            assert (server.health, server.restarts) == ("healthy", 0)
            gap = await anext(slow)
            assert isinstance(gap, StreamGap)
            assert gap.missed is not None
            assert gap.missed > 50_000


def test_proxies_in_the_environment_are_never_asked_for_loopback(world: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as proxy:
        proxy.setblocking(False)
        url = f"http://127.0.0.1:{proxy.getsockname()[1]}"
        names = ("http_proxy", "https_proxy", "all_proxy")
        variables = dict.fromkeys([*names, *map(str.upper, names)], url) | {"no_proxy": "", "NO_PROXY": ""}
        hostler = world.hostler("run", configure(world), "--json", **variables)
        hostler.event(event="state", state="running")
        assert hostler.stop(signal.SIGTERM) == 0
        with pytest.raises(BlockingIOError):
            proxy.accept()


def is_well_again(server: Server, events: list[Event]) -> bool:
    """Whether the loss was told in the words for its mode, and is over."""
    words = next(words for mode, words in MODES.items() if named(mode) == server.name)
    return is_well(server) and any(words in reason for reason in complaints(events, server.name))


def complaints(events: list[Event], name: str = "fake") -> list[str]:
    return [e.reason for e in events if isinstance(e, HealthReported) and e.server == name and not e.healthy]


def is_well(server: Server) -> bool:
    return server.state is State.RUNNING and server.health == "healthy"
