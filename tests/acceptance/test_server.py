"""One server's life: port, readiness, start, shutdown, restarts, in the real command line and the library."""

from __future__ import annotations

import os
import signal
import time

import anyio
import psutil
import pytest
from cli_project import NOTHING, Project
from hostler import (
    Event,
    HealthReported,
    Notice,
    ProcessAlreadyRunning,
    Server,
    Spawned,
    State,
    StateChanged,
)


def seen(server: Server) -> tuple[str, str | None, int | None]:
    return server.state.value, server.url, server.pid


def listening_port(pid: int | None) -> int:
    """The one port that a process listens at."""
    (found,) = (one for one in psutil.Process(pid).net_connections() if one.status == psutil.CONN_LISTEN)
    port: int = found.laddr.port
    return port


@pytest.mark.requirement("R13", "R14")
async def test_a_server_can_be_commanded_and_read(world: Project) -> None:
    async with world.supervisor(world.fake(autostart=False)) as supervisor:
        server = supervisor["fake"]
        assert seen(server) == ("stopped", None, None)
        await server.start()
        await server.wait_ready(20)
        url, pid = server.url, server.pid
        assert seen(server) == ("running", url, pid)
        assert url == f"http://127.0.0.1:{listening_port(pid)}"
        with pytest.raises(ProcessAlreadyRunning):
            await server.start()
        await server.restart()
        await server.wait_ready(20)
        assert server.url == url
        assert server.pid != pid
        await server.stop()
        assert seen(server) == ("stopped", None, None)
        assert world.processes() == {}
        await server.start()
        await server.wait_ready(20)
        await server.force_stop()
        assert seen(server) == ("stopped", None, None)

    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R18", "R32")
async def test_a_start_goes_its_way_in_order(world: Project) -> None:
    events: list[Event] = []
    async with world.supervisor(world.fake(), events) as supervisor:
        server = supervisor["fake"]
        supervisor.listen(
            lambda event: log_files.append(bool(list(world.directories.data.rglob("fake.log"))))
        )
        log_files: list[bool] = []
        await server.wait_ready(20)
        assert server.child_env({})["OPENCODE_SERVER"] == server.url

    told = [type(event).__name__ for event in events if not isinstance(event, Notice)]
    assert told[:4] == ["StateChanged", "StateChanged", "Spawned", "EndpointFound"]
    assert log_files[0] is False
    assert log_files[[isinstance(e, Spawned) for e in events].index(True)] is True
    (ready,) = (e for e in events if isinstance(e, StateChanged) and e.state is State.RUNNING)
    assert ready.seconds is not None
    assert 0 < ready.seconds < 20
    assert ready.url is not None
    confirmed = [
        e.plugin for e in events[: events.index(ready)] if isinstance(e, HealthReported) and e.healthy
    ]
    assert "sse-health" in confirmed


@pytest.mark.requirement("R18")
def test_the_url_reaches_those_that_are_to_talk_to_the_server(world: Project) -> None:
    needing = world.fake_table("--print-env", "OPENCODE_SERVER", needs=["fake"])
    needing["plugins"] = {"regex-port": {}, "env-sanitizer": {}}
    file = world.configure(fake=world.fake_table(), needing=needing)
    program = "import os; print('beside:', os.environ['OPENCODE_SERVER'])"
    command = world.hostler("run", file, "--debug", "--json", "--", "python3", "-c", program)
    assert command.end() == 0, command.err
    (beside,) = (line for line in command.out if line.startswith("beside: "))
    url = beside.removeprefix("beside: ")
    assert url.startswith("http://127.0.0.1:")
    assert any(f"OPENCODE_SERVER={url}" in line for line in command.err)
    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R21")
async def test_a_shutdown_lets_go_of_the_stream_before_the_first_signal(world: Project) -> None:
    file = world.fake("--term-waits-for-streams", "--log-requests")
    async with world.supervisor(file) as supervisor:
        await supervisor["fake"].wait_ready(20)
        began = time.monotonic()
        await supervisor["fake"].stop()
        assert time.monotonic() - began < 3

    # The server would not have ended with an open stream; told to let go, it was asked to dispose first.
    assert {"stream closed", "request POST /global/dispose"} <= set(world.logged().splitlines())
    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R22")
async def test_a_killed_server_is_back_within_milliseconds_and_the_configured_delay(world: Project) -> None:
    events: list[Event] = []
    async with world.supervisor(world.fake(restart={"initial_delay": "0ms"}), events) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        url, pid = server.url, server.pid
        assert pid is not None
        killed = time.time()
        os.kill(pid, signal.SIGKILL)
        await server.wait_ready(20)
        assert server.url == url
        assert (server.generation, server.restarts) == (2, 1)

    again = [event.time.timestamp() for event in events if isinstance(event, Spawned)][1]
    assert again - killed < 0.25


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
