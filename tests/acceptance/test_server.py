"""One server's life: port, readiness, start, shutdown, restarts, in the real command line and the library."""

from __future__ import annotations

import logging
import os
import signal
import socket
import time
from pathlib import Path

import anyio
import psutil
import pytest
from cli_project import NOTHING, QUICK, Project, five_plugins
from hostler import (
    EndpointFound,
    Event,
    EventStreamConnectionFailed,
    Exited,
    HealthReported,
    Notice,
    PortInUse,
    PortParsingFailed,
    ProcessAlreadyRunning,
    RestartScheduled,
    Server,
    ServerCrashed,
    ServerError,
    Spawned,
    StartupTimeout,
    State,
    StateChanged,
)

NO_RESTART = {"policy": "never", "start_retries": 0}


def states(events: list[Event]) -> list[str]:
    return [event.state.value for event in events if isinstance(event, StateChanged)]


def seen(server: Server) -> tuple[str, str | None, int | None]:
    return server.state.value, server.url, server.pid


def listening_port(pid: int | None) -> int:
    """The one port that a process listens at."""
    (found,) = (one for one in psutil.Process(pid).net_connections() if one.status == psutil.CONN_LISTEN)
    port: int = found.laddr.port
    return port


def spawns(file: Path) -> list[int]:
    """When the fake server started, in monotonic nanoseconds."""
    return [int(line.split()[0]) for line in file.read_text().splitlines()]


@pytest.mark.requirement("R12")
async def test_every_move_is_logged_with_its_time(world: Project, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, logger="hostler")
    events: list[Event] = []
    file = world.fake("--crash-when-ready", "0.2", restart={**QUICK, "max_restarts": 1})
    async with world.supervisor(file, events) as supervisor:
        await supervisor["fake"].wait_stopped()

    moves = [event for event in events if isinstance(event, StateChanged)]
    assert states(events) == [
        *("starting", "waiting_ready", "running", "crashed", "backoff"),
        *("starting", "waiting_ready", "running", "crashed", "failed"),
    ]
    logged = [record for record in caplog.records if " -> " in record.getMessage()]
    assert len(logged) == len(moves)

    for record, event in zip(logged, moves, strict=True):
        assert f"{event.previous.value} -> {event.state.value}" in record.getMessage()
        assert abs(record.created - event.time.timestamp()) < 0.5


@pytest.mark.requirement("R12")
def test_the_command_line_tells_every_move_with_its_time(world: Project) -> None:
    command = world.hostler("run", world.fake(), "--json")
    command.event(event="state", state="running")
    assert command.stop(signal.SIGTERM) == 0
    moves = [event for event in command.events if event["event"] == "state"]
    assert [event["state"] for event in moves] == [
        "starting",
        "waiting_ready",
        "running",
        "stopping",
        "stopped",
    ]
    assert all(event["time"].endswith("Z") for event in moves)


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


@pytest.mark.requirement("R13", "R24")
async def test_waiting_for_ready_ends_at_its_timeout(world: Project) -> None:
    async with world.supervisor(world.fake("--events", "silent")) as supervisor:
        began = time.monotonic()
        with pytest.raises(StartupTimeout, match=r"waiting_ready"):
            await supervisor["fake"].wait_ready(0.5)
        assert 0.5 <= time.monotonic() - began < 3
        assert supervisor["fake"].state is State.WAITING_READY


@pytest.mark.requirement("R14")
def test_a_second_hostler_does_not_start_the_same_server(world: Project) -> None:
    file = world.fake()
    first = world.hostler("run", file, "--json")
    first.event(event="state", state="running")
    second = world.hostler("run", file)
    assert second.end() == 1
    assert any("another hostler" in line or "already" in line for line in second.err), second.err
    assert first.process.poll() is None
    assert first.stop(signal.SIGTERM) == 0


@pytest.mark.requirement("R15")
async def test_port_0_takes_a_free_port_and_tells_which(world: Project) -> None:
    one, other = world.fake_table(port=0), world.fake_table(port=0)
    other["plugins"] = five_plugins(log_rotation={"path": "other.log"})
    async with world.supervisor(world.configure(one=one, other=other)) as supervisor:
        await supervisor.wait_ready(timeout=20)
        urls = [server.url for server in supervisor.servers.values()]
        ports = [listening_port(server.pid) for server in supervisor.servers.values()]
    assert urls == [f"http://127.0.0.1:{port}" for port in ports]
    assert len(set(ports)) == 2


@pytest.mark.requirement("R15")
async def test_a_fixed_port_is_used(world: Project, free_port: int) -> None:
    async with world.supervisor(world.fake(port=free_port)) as supervisor:
        await supervisor["fake"].wait_ready(20)
        assert supervisor["fake"].url == f"http://127.0.0.1:{free_port}"


@pytest.fixture
def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@pytest.mark.requirement("R15", "R28")
async def test_a_port_that_is_taken_is_told_with_who_has_it(world: Project) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        async with world.supervisor(world.fake(port=port, restart=NO_RESTART)) as supervisor:
            with pytest.raises(PortInUse) as caught:
                await supervisor["fake"].wait_ready(20)
    assert str(port) in caught.value.message
    assert f"(pid {os.getpid()})" in caught.value.message
    assert world.what_is_left() == NOTHING


@pytest.mark.requirement("R16")
@pytest.mark.parametrize(
    "switches",
    [
        ("--announce-stream", "stderr"),
        ("--announce-split",),
        ("--announce-color",),
        ("--announce-delay", "0.5"),
        ("--announce", "opencode server listening on {url}"),
        ("--announce", "server listening on {url}"),
        ("--announce", "Listening on port {port}"),
        ("--announce", '{{"level":"info","msg":"listening","host":"{host}","port":{port}}}'),
        ("--decoy", "proxying to http://127.0.0.1:1", "--decoy", "Port 3000 is in use, trying 3001"),
    ],
    ids=" ".join,
)
async def test_the_port_is_read_however_it_is_told(switches: tuple[str, ...], world: Project) -> None:
    events: list[Event] = []
    file = world.fake(*switches)
    async with world.supervisor(file, events) as supervisor:
        await supervisor["fake"].wait_ready(20)
    (found,) = (event for event in events if isinstance(event, EndpointFound))
    assert found.source == "regex-port"


@pytest.mark.requirement("R16", "R28")
async def test_a_port_that_is_never_told_is_not_guessed_and_the_output_is_shown(world: Project) -> None:
    file = world.fake(
        "--port", "0", "--no-announce", "--print", "up and well", startup_timeout="1s", restart=NO_RESTART
    )
    async with world.supervisor(file) as supervisor:
        with pytest.raises(PortParsingFailed, match="never told") as caught:
            await supervisor["fake"].wait_ready(20)
    assert "up and well" in caught.value.context.stdout
    assert "up and well" in str(caught.value)


@pytest.mark.requirement("R17")
async def test_an_announced_port_that_does_not_answer_yet_is_waited_for(world: Project) -> None:
    events: list[Event] = []
    async with world.supervisor(world.fake("--listen-delay", "0.7"), events) as supervisor:
        server = supervisor["fake"]
        began = time.monotonic()
        lines = server.lines()
        with anyio.fail_after(10):
            async for line in lines:
                if "listening on" in line.text:
                    break
        assert server.url is None
        await server.wait_ready(20)
        assert time.monotonic() - began >= 0.7

    assert [e for e in events if isinstance(e, HealthReported) and e.healthy is False] == []


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


@pytest.mark.requirement("R18", "R21")
async def test_a_server_has_a_temporary_folder_of_its_own_as_long_as_it_runs(world: Project) -> None:
    async with world.supervisor(world.fake()) as supervisor:
        await supervisor["fake"].wait_ready(20)
        folder = Path(psutil.Process(supervisor["fake"].pid).environ()["TMPDIR"])
        assert folder != world.tmp
        assert mode_of(folder) == "0o40700"
        await supervisor["fake"].stop()
        assert mode_of(folder) is None


def mode_of(path: Path) -> str | None:
    return oct(path.stat().st_mode) if path.exists() else None


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


@pytest.mark.requirement("R19")
async def test_a_first_start_that_fails_is_tried_once_more_after_a_wait(world: Project) -> None:
    touched = world.home / "touched"
    switches = ("--touch", str(touched), "--exit-after", "0", "--exit-code", "9", "--print-error", "no disk")
    file = world.fake(*switches, restart={"initial_delay": "300ms", "policy": "never"})
    async with world.supervisor(file) as supervisor:
        with pytest.raises(ServerCrashed, match="exit code 9") as caught:
            await supervisor["fake"].wait_ready(20)
        assert supervisor["fake"].state is State.FAILED

    first, second = spawns(touched)
    assert second - first >= 0.3e9
    assert "no disk" in str(caught.value)


@pytest.mark.requirement("R20", "R28")
@pytest.mark.parametrize(
    ("switches", "kind", "words"),
    [
        (("--events", "status", "500"), EventStreamConnectionFailed, "500"),
        (("--events", "html"), EventStreamConnectionFailed, "text/html"),
        (("--events", "silent"), EventStreamConnectionFailed, "no event"),
        (("--events", "refuse"), EventStreamConnectionFailed, "event"),
        (("--no-listen",), StartupTimeout, "listens"),
        (("--port", "0", "--no-announce"), PortParsingFailed, "never told"),
        (("--exit-after", "0.1", "--no-announce"), ServerCrashed, "exit code"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else None,
)
async def test_each_partial_start_is_told_apart(
    switches: tuple[str, ...], kind: type[ServerError], words: str, world: Project
) -> None:
    file = world.fake(*switches, startup_timeout="1500ms", restart=NO_RESTART)
    async with world.supervisor(file) as supervisor:
        with pytest.raises(kind, match=words) as caught:
            await supervisor["fake"].wait_ready(20)
    assert type(caught.value) is kind
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


@pytest.mark.requirement("R21", "R30")
async def test_a_shutdown_closes_the_logs_and_keeps_the_last_words(world: Project) -> None:
    file = world.fake("--exit-on-stop", "0", "--term-delay", "0.2", "--unfinished", "last words")
    async with world.supervisor(file) as supervisor:
        await supervisor["fake"].wait_ready(20)
        await supervisor["fake"].stop()
        (path,) = world.directories.data.rglob("fake.log")
        assert path.read_text().endswith("last words")
        assert str(path) not in [file.path for file in psutil.Process().open_files()]


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


@pytest.mark.requirement("R22")
async def test_the_delay_grows_and_the_budget_ends(world: Project) -> None:
    events: list[Event] = []
    restart = {"initial_delay": "40ms", "max_delay": "200ms", "max_restarts": 3}
    file = world.fake("--crash-when-ready", "0.05", restart=restart)
    async with world.supervisor(file, events) as supervisor:
        with anyio.fail_after(20):
            await supervisor["fake"].wait_stopped()
        assert supervisor["fake"].state is State.FAILED
        assert isinstance(supervisor["fake"].error, ServerCrashed)

    planned = [event for event in events if isinstance(event, RestartScheduled)]
    assert [(event.used, event.allowed) for event in planned] == [(1, 3), (2, 3), (3, 3)]
    assert all(event.delay <= 0.2 for event in planned)


@pytest.mark.requirement("R22", "R25")
async def test_three_connection_failures_in_a_row_are_a_crash(world: Project) -> None:
    events: list[Event] = []
    touched = world.home / "touched"
    modes = ("--events", "end-after", "2", "--events", "status", "503")
    async with world.supervisor(world.fake("--touch", str(touched), *modes), events) as supervisor:
        with anyio.fail_after(20):
            await supervisor["fake"].wait_ready()
            await supervisor["fake"].until(
                lambda: supervisor["fake"].generation == 2 and supervisor["fake"].usable
            )

    lost = [
        event.failures for event in events if isinstance(event, HealthReported) and event.healthy is False
    ]
    assert lost[:3] == [1, 2, 3]
    crash = next(e for e in events if isinstance(e, StateChanged) and e.state is State.CRASHED)
    assert "3 times in a row" in crash.reason
    assert len(spawns(touched)) >= 2


@pytest.mark.requirement("R23")
async def test_an_unexpected_exit_is_noticed_at_once_and_told_with_its_reason(world: Project) -> None:
    events: list[Event] = []
    file = world.fake("--print-error", "about to break", restart=NO_RESTART)
    async with world.supervisor(file, events) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        pid = server.pid
        assert pid is not None
        killed = time.time()
        os.kill(pid, signal.SIGABRT)
        await server.wait_stopped()

    crash = next(e for e in events if isinstance(e, StateChanged) and e.state is State.CRASHED)
    assert crash.time.timestamp() - killed < 0.25
    (ended,) = (event.exit for event in events if isinstance(event, Exited))
    assert ended.description == "killed by SIGABRT"
    assert "about to break" in ended.stderr
    assert "killed by SIGABRT" in str(server.error)
    assert "about to break" in str(server.error)


@pytest.mark.requirement("R23")
async def test_an_unexpected_exit_is_told_with_its_code(world: Project) -> None:
    events: list[Event] = []
    file = world.fake("--crash-when-ready", "0.1", "--exit-code", "7", restart=NO_RESTART)
    async with world.supervisor(file, events) as supervisor:
        await supervisor["fake"].wait_stopped()
    (ended,) = (event.exit for event in events if isinstance(event, Exited))
    assert (ended.code, ended.description) == (7, "exit code 7")
    assert "exit code 7" in str(supervisor["fake"].error)


@pytest.mark.requirement("R13")
async def test_several_servers_start_in_order_and_stop_in_reverse(world: Project) -> None:
    events: list[Event] = []
    tables = {
        "db": world.fake_table(),
        "api": world.fake_table(needs=["db"]),
        "web": world.fake_table("--exit-on-stop", "0", "--term-delay", "0.3", needs=["api"]),
    }
    for name, table in tables.items():
        table["plugins"] = five_plugins(log_rotation={"path": f"{name}.log"})

    async with world.supervisor(world.configure(**tables), events) as supervisor:
        await supervisor.wait_ready(timeout=30)

    def order(state: State) -> list[str]:
        return [event.server for event in events if isinstance(event, StateChanged) and event.state is state]

    assert order(State.RUNNING) == ["db", "api", "web"]
    assert order(State.STOPPED) == ["web", "api", "db"]
    assert world.what_is_left() == NOTHING
