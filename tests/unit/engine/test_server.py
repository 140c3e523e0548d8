"""One server through its life, with a real child process."""

from __future__ import annotations

import os
import signal
import socket
from dataclasses import replace

import pytest
from children import lives
from hostler import (
    Directories,
    EnvironmentSetupFailed,
    Event,
    InvalidConfiguration,
    PortParsingFailed,
    ProcessAlreadyRunning,
    ProcessSpawnFailed,
    RestartMode,
    RestartScheduled,
    Server,
    ServerCrashed,
    ServerSpec,
    StartupTimeout,
    State,
    StateChanged,
    Supervisor,
)
from hostler.model.states import MOVES
from servers import fake_server
from specs import QUICK, MakeSpec
from supervised_servers import reaches, supervised


def states(events: list[Event]) -> list[str]:
    return [event.state.value for event in events if isinstance(event, StateChanged)]


@pytest.mark.requirement("R12")
async def test_a_server_is_ready_when_it_listens_and_stopped_when_it_is_gone(
    make_spec: MakeSpec, directories: Directories
) -> None:
    events: list[Event] = []
    async with supervised(make_spec(), directories, events) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        pid = server.pid
        assert pid is not None
        assert server.url is not None
        assert repr(server) == f"<Server fake running {server.url} pid {pid}>"
        assert lives(pid)
        assert server.memory > 1_000_000
        assert server.uptime > 0
        assert server.generation == 1

    assert not lives(pid)
    assert repr(server) == "<Server fake stopped>"
    assert states(events) == ["starting", "waiting_ready", "running", "stopping", "stopped"]
    assert [path for path in directories.state.rglob("*") if path.is_file()] == []


@pytest.mark.requirement("R12")
async def test_every_move_is_in_the_table(make_spec: MakeSpec, directories: Directories) -> None:
    events: list[Event] = []
    async with supervised(make_spec(), directories, events) as supervisor:
        await supervisor["fake"].wait_ready(10)
        await supervisor["fake"].restart()
        await supervisor["fake"].wait_ready(10)
    moves = [(event.previous, event.state) for event in events if isinstance(event, StateChanged)]
    assert len(moves) == 10
    assert all(state in MOVES[previous] for previous, state in moves)


@pytest.mark.requirement("R28")
async def test_starting_a_running_server_is_an_error_of_its_own(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with supervised(make_spec(), directories) as supervisor:
        await supervisor["fake"].wait_ready(10)
        with pytest.raises(ProcessAlreadyRunning, match="it is already running"):
            await supervisor["fake"].start()


@pytest.mark.requirement("R14")
async def test_one_name_in_one_namespace_runs_once(make_spec: MakeSpec, directories: Directories) -> None:
    async with Supervisor(make_spec(), directories=directories, namespace="n") as first:
        await first["fake"].wait_ready(10)
        async with Supervisor(make_spec(), directories=directories, namespace="n") as second:
            with pytest.raises(ProcessAlreadyRunning, match="another supervisor of this process"):
                await second["fake"].wait_ready(10)
            assert second["fake"].state is State.FAILED
        async with Supervisor(make_spec(), directories=directories, namespace="m") as third:
            await third["fake"].wait_ready(10)


async def test_a_killed_server_is_restarted_at_the_same_port(
    make_spec: MakeSpec, directories: Directories
) -> None:
    events: list[Event] = []
    async with supervised(make_spec(), directories, events) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        first, url = server.pid, server.url
        assert first is not None
        os.kill(first, signal.SIGKILL)
        await server.wait_ready(10)
        assert server.pid != first
        assert server.url == url
        assert server.generation == 2
        assert server.restarts == 1

    scheduled = [event for event in events if isinstance(event, RestartScheduled)]
    assert [(event.used, event.allowed) for event in scheduled] == [(1, 5)]
    crashed = next(e for e in events if isinstance(e, StateChanged) and e.state is State.CRASHED)
    assert crashed.reason == "killed by SIGKILL"


async def test_a_server_that_dies_soon_after_ready_uses_up_its_budget(
    make_spec: MakeSpec, directories: Directories
) -> None:
    policy = replace(QUICK, max_restarts=2)
    spec = make_spec("--exit-after", "0.2", "--exit-code", "3", restart=policy)
    events: list[Event] = []
    async with supervised(spec, directories, events) as supervisor:
        server = supervisor["fake"]
        await reaches(server, State.FAILED)
        assert isinstance(server.error, ServerCrashed)
        assert "exit code 3" in str(server.error)
        with pytest.raises(ServerCrashed):
            await server.wait_ready(1)

    assert states(events).count("starting") == 3
    assert [e.used for e in events if isinstance(e, RestartScheduled)] == [1, 2]


@pytest.mark.requirement("R19", "R29")
async def test_a_failed_first_start_is_tried_once_more(make_spec: MakeSpec, directories: Directories) -> None:
    events: list[Event] = []
    spec = make_spec("--exit-after", "0", "--exit-code", "1", "--print-error", "boom: no luck")
    async with supervised(spec, directories, events) as supervisor:
        with pytest.raises(ServerCrashed) as caught:
            await supervisor["fake"].wait_ready(10)
    assert states(events).count("starting") == 2
    assert "boom: no luck" in str(caught.value)
    assert caught.value.context.stderr.strip() == "boom: no luck"


@pytest.mark.requirement("R16")
async def test_a_server_that_never_announces_fails_with_its_output(
    make_spec: MakeSpec, directories: Directories
) -> None:
    switches = ("--port", "0", "--no-announce", "--print", "still thinking")
    spec = make_spec(*switches, startup_timeout=0.6, restart=NO_RETRY)
    async with supervised(spec, directories) as supervisor:
        with pytest.raises(PortParsingFailed) as caught:
            await supervisor["fake"].wait_ready(10)
    assert "still thinking" in caught.value.context.stdout
    assert "without announcing it" in caught.value.context.hint


NO_RETRY = replace(QUICK, start_retries=0)


@pytest.mark.requirement("R17")
async def test_an_announced_port_that_does_not_answer_yet_is_waited_for(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with supervised(make_spec("--listen-delay", "0.5"), directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        assert server.uptime > 0.5
        assert server.endpoint is not None
        socket.create_connection((server.endpoint.host, server.endpoint.port), 1).close()


async def test_a_port_that_never_listens_is_a_startup_timeout(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec("--no-listen", startup_timeout=0.6, restart=NO_RETRY)
    async with supervised(spec, directories) as supervisor:
        with pytest.raises(StartupTimeout, match="nothing of this server listens"):
            await supervisor["fake"].wait_ready(10)


async def test_a_decoy_before_the_announcement_is_replaced(
    make_spec: MakeSpec, directories: Directories
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        port = stranger.getsockname()[1]
        spec = make_spec("--decoy", f"listening on http://127.0.0.1:{port}")
        async with supervised(spec, directories) as supervisor:
            server = supervisor["fake"]
            await server.wait_ready(10)
            assert server.endpoint is not None
            assert server.endpoint.port != port


def fake_command(*switches: str) -> list[str]:
    return fake_server("--port", "${server.port}", *switches)


def port_of(server: Server) -> int:
    assert server.endpoint is not None
    return server.endpoint.port


async def test_without_a_parser_the_configured_port_is_waited_for(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with supervised(make_spec("--no-announce", plugins=()), directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        socket.create_connection(("127.0.0.1", port_of(server)), 1).close()


async def test_a_server_without_a_port_is_ready_when_it_is_spawned(directories: Directories) -> None:
    spec = ServerSpec(name="worker", command=("sleep", "60"), port=None)
    async with supervised(spec, directories) as supervisor:
        await supervisor["worker"].wait_ready(5)
        assert supervisor["worker"].url is None


async def test_a_worker_that_ends_with_0_has_done_its_work(directories: Directories) -> None:
    spec = ServerSpec(name="task", command=("sleep", "0.1"), port=None)
    async with supervised(spec, directories) as supervisor:
        await reaches(supervisor["task"], State.RUNNING)
        await reaches(supervisor["task"], State.STOPPED)
        assert supervisor["task"].generation == 1


async def test_policy_always_restarts_a_worker_that_ends_with_0(directories: Directories) -> None:
    policy = replace(QUICK, policy=RestartMode.ALWAYS, max_restarts=2)
    spec = ServerSpec(name="task", command=("sleep", "0.05"), port=None, restart=policy)
    async with supervised(spec, directories) as supervisor:
        await reaches(supervisor["task"], State.FAILED)
        assert supervisor["task"].generation == 3


async def test_policy_never_leaves_a_crashed_server_failed(
    make_spec: MakeSpec, directories: Directories
) -> None:
    policy = replace(QUICK, policy=RestartMode.NEVER)
    async with supervised(make_spec("--exit-after", "0.2", restart=policy), directories) as supervisor:
        await reaches(supervisor["fake"], State.FAILED)
        assert supervisor["fake"].generation == 1


async def test_a_missing_program_fails_at_once_and_says_so(directories: Directories) -> None:
    spec = ServerSpec(name="x", command=("no-such-program-here",))
    events: list[Event] = []
    async with supervised(spec, directories, events) as supervisor:
        with pytest.raises(ProcessSpawnFailed, match="no-such-program-here"):
            await supervisor["x"].start()
    assert states(events).count("starting") == 1


async def test_an_undefined_reference_in_a_spec_is_told(directories: Directories) -> None:
    spec = ServerSpec(name="x", command=("echo", "${nothing.here}"))
    async with supervised(spec, directories) as supervisor:
        with pytest.raises(InvalidConfiguration, match=r"\$\{nothing.here\} is not defined"):
            await supervisor["x"].wait_ready(5)


async def test_a_secret_in_argv_is_refused(directories: Directories) -> None:
    spec = ServerSpec(
        name="x", command=("echo", "--token=hunter2-hunter2"), env={"MY_TOKEN": "hunter2-hunter2"}
    )
    async with supervised(spec, directories) as supervisor:
        with pytest.raises(EnvironmentSetupFailed) as caught:
            await supervisor["x"].wait_ready(5)
    assert "word 1 of argv" in str(caught.value)
    assert "hunter2" not in str(caught.value)
