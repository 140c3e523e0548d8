"""One server through its life, with a real child process."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import anyio
import anyio.lowlevel
import psutil
import pytest
from hostler import (
    Action,
    Advice,
    Directories,
    Endpoint,
    EnvironmentSetupFailed,
    Event,
    Exit,
    ExitCause,
    Healthy,
    InvalidConfiguration,
    Launch,
    ListensTooWide,
    OutputMode,
    PluginError,
    PluginFailed,
    PluginSpec,
    PortInUse,
    PortParsingFailed,
    ProcessAlreadyRunning,
    ProcessSpawnFailed,
    Report,
    RestartMode,
    RestartPolicy,
    RestartScheduled,
    Server,
    ServerCrashed,
    ServerError,
    ServerSpec,
    ServerView,
    StartupTimeout,
    State,
    StateChanged,
    StreamEvent,
    StreamGap,
    Supervisor,
    Unhealthy,
    hookimpl,
)
from hostler.model.states import MOVES
from servers import fake_server
from specs import QUICK, MakeSpec, announced

REGEX = announced()


def lives(pid: int) -> bool:
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE  # init reaps orphans when it likes
    except psutil.NoSuchProcess:
        return False


def states(events: list[Event]) -> list[str]:
    return [event.state.value for event in events if isinstance(event, StateChanged)]


def supervised(spec: ServerSpec, directories: Directories, into: list[Event] | None = None) -> Supervisor:
    supervisor = Supervisor(spec, directories=directories)

    if into is not None:
        supervisor.listen(into.append)

    return supervisor


async def reaches(server: Server, *wanted: State) -> None:
    with anyio.fail_after(20):
        await server.until(lambda: server.state in wanted)


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
        assert lives(pid)
        assert server.memory > 1_000_000
        assert server.uptime > 0
        assert server.generation == 1

    assert not lives(pid)
    assert states(events) == ["starting", "waiting_ready", "running", "stopping", "stopped"]
    assert [path for path in directories.state.rglob("*") if path.is_file()] == []


async def test_every_move_is_in_the_table(make_spec: MakeSpec, directories: Directories) -> None:
    events: list[Event] = []

    async with supervised(make_spec(), directories, events) as supervisor:
        await supervisor["fake"].wait_ready(10)
        await supervisor["fake"].restart()
        await supervisor["fake"].wait_ready(10)

    moves = [(event.previous, event.state) for event in events if isinstance(event, StateChanged)]
    assert len(moves) == 10
    assert all(state in MOVES[previous] for previous, state in moves)


async def test_starting_a_running_server_is_an_error_of_its_own(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with supervised(make_spec(), directories) as supervisor:
        await supervisor["fake"].wait_ready(10)

        with pytest.raises(ProcessAlreadyRunning, match="it runs already"):
            await supervisor["fake"].start()


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


async def test_a_failed_first_start_is_tried_once_more(make_spec: MakeSpec, directories: Directories) -> None:
    events: list[Event] = []
    spec = make_spec("--exit-after", "0", "--exit-code", "1", "--print-error", "boom: no luck")

    async with supervised(spec, directories, events) as supervisor:
        with pytest.raises(ServerCrashed) as caught:
            await supervisor["fake"].wait_ready(10)

    assert states(events).count("starting") == 2
    assert "boom: no luck" in str(caught.value)
    assert caught.value.context.stderr.strip() == "boom: no luck"


async def test_a_server_that_never_announces_fails_with_its_output(
    make_spec: MakeSpec, directories: Directories
) -> None:
    switches = ("--port", "0", "--no-announce", "--print", "still thinking")
    spec = make_spec(*switches, startup_timeout=0.6, restart=NO_RETRY)

    async with supervised(spec, directories) as supervisor:
        with pytest.raises(PortParsingFailed) as caught:
            await supervisor["fake"].wait_ready(10)

    assert "still thinking" in caught.value.context.stdout
    assert "without saying so" in caught.value.context.hint


NO_RETRY = replace(QUICK, start_retries=0)


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


async def test_a_configured_port_that_is_taken_names_its_owner(
    make_spec: MakeSpec, directories: Directories
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        spec = make_spec(port=taken.getsockname()[1], restart=NO_RETRY)

        async with supervised(spec, directories) as supervisor:
            with pytest.raises(PortInUse, match=str(os.getpid())):
                await supervisor["fake"].wait_ready(10)


async def test_an_announced_port_of_a_stranger_is_told_as_taken(
    make_spec: MakeSpec, directories: Directories
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as stranger:
        url = f"http://127.0.0.1:{stranger.getsockname()[1]}"
        spec = make_spec("--port", "0", "--announce", f"listening on {url}", restart=NO_RETRY)

        async with supervised(spec, directories) as supervisor:
            with pytest.raises(PortInUse, match="belongs to another process"):
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


async def test_a_socket_wider_than_asked_is_refused_unless_exposed(
    make_spec: MakeSpec, directories: Directories
) -> None:
    command = tuple(fake_command("--host", "0.0.0.0"))
    spec = make_spec(command=command)

    async with supervised(spec, directories) as supervisor:
        with pytest.raises(ListensTooWide, match="wider"):
            await supervisor["fake"].wait_ready(10)

    async with supervised(replace(spec, expose=True), directories) as supervisor:
        await supervisor["fake"].wait_ready(10)
        assert supervisor["fake"].url == f"http://127.0.0.1:{port_of(supervisor['fake'])}"


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


async def test_a_server_that_ignores_sigterm_is_killed_after_the_grace_period(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec("--ignore-term", force_kill_timeout=0.3)

    async with supervised(spec, directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        pid, started = server.pid, time.monotonic()
        await server.stop()
        assert 0.3 <= time.monotonic() - started < 3
        assert pid is not None
        assert not lives(pid)


async def test_a_forced_stop_does_not_wait(make_spec: MakeSpec, directories: Directories) -> None:
    async with supervised(make_spec("--ignore-term", force_kill_timeout=60.0), directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)

        with anyio.fail_after(5):
            await server.force_stop()

        assert server.state is State.STOPPED


async def test_force_cuts_a_stop_under_way_short(make_spec: MakeSpec, directories: Directories) -> None:
    async with supervised(make_spec("--ignore-term", force_kill_timeout=60.0), directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)

        with anyio.fail_after(5):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.stop)
                await reaches(server, State.STOPPING)
                tasks.start_soon(server.force_stop)


async def test_children_in_sessions_of_their_own_are_stopped_too(
    make_spec: MakeSpec, directories: Directories, marked: Callable[[str], list[int]], tmp_path: Path
) -> None:
    switches = ("--spawn-session-child", "--double-fork-child", "--touch", str(tmp_path / "starts"))

    async with supervised(make_spec(*switches), directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        assert server.run is not None
        members = server.run.members()
        assert len(members) == 3

    assert not any(lives(pid) for pid in members)


async def test_stopping_in_each_state_ends_stopped(make_spec: MakeSpec, directories: Directories) -> None:
    for state, switches in (
        (State.STARTING, ()),
        (
            State.WAITING_READY,
            (
                "--port",
                "0",
                "--no-announce",
            ),
        ),
        (State.RUNNING, ()),
        (State.BACKOFF, ("--exit-after", "0")),
    ):
        slow = RestartPolicy(initial_delay=60.0, max_delay=60.0, start_retries=1)
        spec = make_spec(*switches, restart=slow, plugins=(REGEX, PluginSpec("slow", instance=Slow(state))))

        async with supervised(spec, directories) as supervisor:
            server = supervisor["fake"]
            await reaches(server, state)

            with anyio.fail_after(5):
                await server.stop()

            assert server.state is State.STOPPED, state
            assert server.pid is None


@dataclass(eq=False)
class Slow:
    """Holds the start up, when that is the state to be tested."""

    state: State

    @hookimpl
    async def pre_spawn(self) -> None:
        if self.state is State.STARTING:
            await anyio.sleep(60)


async def test_a_stop_during_the_start_cleans_up_what_was_deferred(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    plugin = Defers(tmp_path / "scratch")
    spec = make_spec(plugins=(REGEX, PluginSpec("defers", instance=plugin)))

    async with supervised(spec, directories) as supervisor:
        await reaches(supervisor["fake"], State.RUNNING)
        assert plugin.path.is_dir()

    assert plugin.log == ["second", "first"]
    assert not plugin.path.exists()


@dataclass(eq=False)
class Defers:
    """Registers clean-up of every kind."""

    path: Path
    log: list[str] = field(init=False, default_factory=list)

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        self.path.mkdir()
        (self.path / "file").write_text("x")
        launch.remove_at_end(self.path)
        launch.defer(self._first)
        launch.defer(lambda: self.log.append("second"))

    async def _first(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.log.append("first")


async def test_a_thousand_restarts_leave_one_process(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    spec = make_spec("--touch", str(tmp_path / "starts"))

    async with supervised(spec, directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)

        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for _ in range(1000):
                    tasks.start_soon(server.restart)

        await server.wait_ready(10)
        assert server.run is not None
        assert len(server.run.members()) == 1

    assert len((tmp_path / "starts").read_text().splitlines()) == 2


async def test_a_command_for_an_older_run_does_nothing(make_spec: MakeSpec, directories: Directories) -> None:
    async with supervised(make_spec(), directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        await server.restart()
        await server.wait_ready(10)
        pid = server.pid
        await server.restart(generation=1)
        assert (server.pid, server.generation) == (pid, 2)


async def test_a_stop_beats_a_start_under_way(make_spec: MakeSpec, directories: Directories) -> None:
    spec = make_spec("--announce-delay", "60", autostart=False)

    async with supervised(spec, directories) as supervisor:
        server = supervisor["fake"]
        await server.start()
        await server.stop()
        assert server.state is State.STOPPED

        with pytest.raises(ServerError, match="stopped"):
            await server.wait_ready(1)


async def test_a_stopped_server_starts_again(make_spec: MakeSpec, directories: Directories) -> None:
    async with supervised(make_spec(), directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        await server.stop()
        await server.start()
        await server.wait_ready(10)
        assert server.generation == 2


async def test_starting_from_two_tasks_is_one_start(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    spec = make_spec("--touch", str(tmp_path / "starts"), autostart=False)

    async with supervised(spec, directories) as supervisor:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(supervisor["fake"].start)
            tasks.start_soon(supervisor["fake"].start)

        await supervisor["fake"].wait_ready(10)

    assert len((tmp_path / "starts").read_text().splitlines()) == 1


async def test_a_wait_for_ready_that_takes_too_long_is_a_timeout(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with supervised(make_spec("--announce-delay", "60"), directories) as supervisor:
        with pytest.raises(StartupTimeout, match=r"not ready after 0\.2 s"):
            await supervisor["fake"].wait_ready(0.2)


# -- health ------------------------------------------------------------------------------------


@dataclass(eq=False)
class Says:
    """A health plugin that yields what it is told, and then waits."""

    reports: list[Report | str]
    again: bool = False
    closed: bool = field(init=False, default=False)
    crashes: list[Exit] = field(init=False, default_factory=list)

    @hookimpl
    async def health_check(self, endpoint: Endpoint | None) -> AsyncGenerator[Report, None]:
        try:
            for report in self.reports:
                if isinstance(report, str):
                    raise RuntimeError(report)  # noqa: TRY004 - what plugins raise

                yield report

            await anyio.sleep_forever()
        finally:
            self.closed = True

    @hookimpl
    async def on_crash(self, exit: Exit) -> None:
        self.crashes.append(exit)


def with_health(plugin: object) -> tuple[PluginSpec, ...]:
    return (REGEX, PluginSpec("says", instance=plugin))


async def test_ready_waits_for_the_first_healthy_report(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Says([Unhealthy("not yet"), Unhealthy("not yet"), Unhealthy("not yet"), Healthy()])

    async with supervised(make_spec(plugins=with_health(plugin)), directories) as supervisor:
        await supervisor["fake"].wait_ready(10)
        assert supervisor["fake"].health == "healthy"
        assert supervisor["fake"].generation == 1

    assert plugin.closed


async def test_failures_in_a_row_past_the_limit_are_a_crash(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Says([Healthy(), Unhealthy("a"), Unhealthy("b"), Healthy(), *[Unhealthy("gone")] * 3])
    policy = replace(QUICK, max_restarts=0)
    spec = make_spec(plugins=with_health(plugin), restart=policy)

    async with supervised(spec, directories) as supervisor:
        with pytest.raises(ServerCrashed, match=r"gone \(3 times in a row\)"):
            await reaches_failed(supervisor["fake"])

    assert plugin.crashes[0].cause is ExitCause.UNHEALTHY
    assert plugin.crashes[0].unhealthy == Unhealthy("gone")
    assert plugin.crashes[0].killed


async def reaches_failed(server: Server) -> None:
    await reaches(server, State.FAILED)
    assert server.error is not None
    raise server.error


async def test_a_fatal_report_restarts_at_once(make_spec: MakeSpec, directories: Directories) -> None:
    plugin = Says([Healthy(), Unhealthy("too much memory", fatal=True)])
    spec = make_spec(plugins=with_health(plugin), restart=replace(QUICK, max_restarts=1))

    async with supervised(spec, directories) as supervisor:
        with pytest.raises(ServerCrashed, match="too much memory"):
            await reaches_failed(supervisor["fake"])

        assert supervisor["fake"].generation == 2


async def test_a_permanent_report_gives_up_at_once(make_spec: MakeSpec, directories: Directories) -> None:
    error = InvalidConfiguration("opencode.json is broken")
    plugin = Says([Unhealthy("broken", permanent=True, error=error)])

    async with supervised(make_spec(plugins=with_health(plugin)), directories) as supervisor:
        with pytest.raises(InvalidConfiguration, match="opencode.json is broken"):
            await supervisor["fake"].wait_ready(10)

        assert supervisor["fake"].generation == 1


async def test_the_last_complaint_is_the_reason_of_the_timeout(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Says([Unhealthy("503 from /event")])
    spec = make_spec(plugins=with_health(plugin), startup_timeout=0.6, restart=NO_RETRY)

    async with supervised(spec, directories) as supervisor:
        with pytest.raises(StartupTimeout, match="503 from /event"):
            await supervisor["fake"].wait_ready(10)


async def test_a_health_plugin_that_fails_before_ready_is_named(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec(plugins=with_health(Says(["kaput"])), startup_timeout=0.6, restart=NO_RETRY)

    async with supervised(spec, directories) as supervisor:
        with pytest.raises(PluginError, match=r"plugin says failed: RuntimeError: kaput"):
            await supervisor["fake"].wait_ready(10)


async def test_a_health_plugin_that_fails_later_leaves_the_server_running(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Says([Healthy(), "kaput"])

    async with supervised(make_spec(plugins=with_health(plugin)), directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)

        with anyio.fail_after(5):
            await server.until(lambda: server.health == "unknown")

        assert server.state is State.RUNNING


@dataclass(eq=False)
class Floods:
    """Reports without ever waiting."""

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        while True:
            yield Healthy()


async def test_a_health_plugin_that_floods_is_slowed_down_and_named(
    make_spec: MakeSpec, directories: Directories
) -> None:
    events: list[Event] = []

    async with supervised(make_spec(plugins=with_health(Floods())), directories, events) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)

        with anyio.fail_after(5):
            await server.until(lambda: server.state is State.RUNNING)
            await server.stop()

    failed = [event for event in events if isinstance(event, PluginFailed)]
    assert [(event.plugin, event.hook) for event in failed] == [("says", "health_check")]
    assert "floods" in failed[0].reason


# -- hooks, facts, output ----------------------------------------------------------------------


@dataclass(eq=False)
class Watcher:
    """Notes which hooks are called, and uses what a server offers to plugins."""

    advice: Advice | None = None
    log: list[str] = field(init=False, default_factory=list)
    _task: Callable[[], Awaitable[None]] | None = field(init=False, default=None)

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        self.log.append(f"pre_spawn {server.state.value}")
        launch.facts["version"] = "1.2.3"
        launch.set_secret("FAKE_TOKEN", "sesame-open-sesame")
        server.publish("FAKE_URL", "${server.url}")
        server.publish("FAKE_PASSWORD", "sesame-open-sesame", secret=True)
        server.start_soon(self._background)

    async def _background(self) -> None:
        self.log.append("background")

    @hookimpl
    async def on_ready(self, server: ServerView, endpoint: Endpoint | None) -> None:
        self.log.append(f"on_ready {endpoint.url if endpoint else None} {server.facts['version']}")
        server.deliver(StreamEvent("hello", "{}"))
        server.deliver(StreamGap("reconnected"))

    @hookimpl
    async def on_crash(self, server: ServerView, exit: Exit) -> Advice | None:
        self.log.append(f"on_crash {exit.description}")
        return self.advice

    @hookimpl
    async def on_shutdown(self, server: ServerView, reason: str) -> None:
        self.log.append(f"on_shutdown {server.state.value} {reason}")


async def test_the_hooks_are_fired_in_order(make_spec: MakeSpec, directories: Directories) -> None:
    plugin = Watcher()

    async with supervised(make_spec(plugins=with_health(plugin)), directories) as supervisor:
        server = supervisor["fake"]
        stream = server.stream_events()
        await server.wait_ready(10)
        url = server.url

        with anyio.fail_after(5):
            assert [await anext(stream), await anext(stream)] == [
                StreamEvent("hello", "{}"),
                StreamGap("reconnected"),
            ]

        assert server.event_count == 1
        assert server.child_env({}) == {"FAKE_URL": url, "FAKE_PASSWORD": "sesame-open-sesame"}
        assert "HOSTLER_RUN_ID" not in server.child_env()

    assert plugin.log == [
        "pre_spawn starting",
        "background",
        f"on_ready {url} 1.2.3",
        "on_shutdown stopping stop asked for",
    ]


async def test_advice_to_give_up_ends_in_failed_with_the_plugins_error(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Watcher(Advice(Action.GIVE_UP, InvalidConfiguration("the plugin knows why")))
    spec = make_spec("--exit-after", "0.2", "--exit-code", "7", plugins=with_health(plugin))

    async with supervised(spec, directories) as supervisor:
        with pytest.raises(InvalidConfiguration, match="the plugin knows why"):
            await reaches_failed(supervisor["fake"])

        assert supervisor["fake"].generation == 1

    assert "on_crash exit code 7" in plugin.log


async def test_advice_to_restart_now_skips_the_delay_and_is_counted(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Watcher(Advice(Action.RESTART_NOW))
    policy = RestartPolicy(initial_delay=60.0, max_delay=60.0, max_restarts=1)
    spec = make_spec("--exit-after", "0.3", plugins=with_health(plugin), restart=policy)

    async with supervised(spec, directories) as supervisor:
        with anyio.fail_after(10):
            await reaches(supervisor["fake"], State.FAILED)

        assert supervisor["fake"].generation == 2


async def test_a_secret_is_masked_in_lines_and_errors(make_spec: MakeSpec, directories: Directories) -> None:
    switches = ("--print-env", "FAKE_TOKEN", "--exit-after", "0.3")
    policy = replace(QUICK, max_restarts=0)
    spec = make_spec(*switches, plugins=with_health(Watcher()), restart=policy)

    async with supervised(spec, directories) as supervisor:
        lines = supervisor["fake"].lines()

        with anyio.fail_after(5):
            first = await anext(lines)

        assert first.text == "FAKE_TOKEN=********"

        with pytest.raises(ServerCrashed) as caught:
            await reaches_failed(supervisor["fake"])

    assert "sesame" not in str(caught.value)
    assert "********" in caught.value.context.stdout


async def test_lines_can_be_followed_from_the_middle(make_spec: MakeSpec, directories: Directories) -> None:
    async with supervised(make_spec("--log-requests"), directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        lines = server.lines()
        reader = await anyio.connect_tcp("127.0.0.1", port_of(server))
        await reader.send(b"GET /config HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")

        with anyio.fail_after(5):
            line = await anext(lines)

        assert line.text == "request GET /config"
        await reader.aclose()


async def test_streams_that_are_not_captured_leave_the_configured_port(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec(stdout=OutputMode.IGNORE, stderr=OutputMode.IGNORE)

    async with supervised(spec, directories) as supervisor:
        await supervisor["fake"].wait_ready(10)


async def test_a_crash_does_not_wait_for_a_grandchild_that_holds_the_pipe(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with supervised(make_spec("--spawn-session-child"), directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        assert server.run is not None
        old = server.run.members()
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)

        with anyio.fail_after(3):
            await server.wait_ready()

        assert not any(lives(pid) for pid in old)


async def test_events_end_with_the_supervisor(make_spec: MakeSpec, directories: Directories) -> None:
    async with supervised(make_spec(), directories) as supervisor:
        events = supervisor["fake"].events()
        await supervisor["fake"].wait_ready(10)

    assert [event.kind async for event in events][-1] == "state"


async def test_the_host_cwd_and_environment_are_left_alone(
    make_spec: MakeSpec, directories: Directories
) -> None:
    before, handlers, cwd = dict(os.environ), signal.getsignal(signal.SIGINT), Path.cwd()

    async with supervised(make_spec(), directories) as supervisor:
        await supervisor["fake"].wait_ready(10)

    assert (dict(os.environ), signal.getsignal(signal.SIGINT), Path.cwd()) == (before, handlers, cwd)
