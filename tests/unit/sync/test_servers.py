"""The library without async: used as a program without an event loop uses it."""

from __future__ import annotations

import inspect
import os
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from hostler import (
    BlockingServer,
    BlockingSupervisor,
    Configuration,
    Directories,
    Endpoint,
    Event,
    InvalidConfiguration,
    Kind,
    Notice,
    PluginSpec,
    ProcessAlreadyRunning,
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
    hookimpl,
    serve,
)
from hostler.supervisor.handle import engine_of
from servers import fake_server
from specs import QUICK, MakeSpec, announced

WITHOUT_A_TWIN = {
    *("awaited", "end_asked", "last_failure", "meets", "stop_asked", "until", "usable"),
    *(
        "counts",
        "hook_stats",
        "hook_totals",
        "last_change",
        "log",
        "ready_seconds",
        "is_settled",
        "memory_points",
        "next_try",
        "restart_budget",
        "stuck",
        "tail",
        "wanted",
        "what_runs",
    ),
    *("members", "processes", "quiet_for", "stranger", "verify_listener", "is_secret"),
    *("command_env", "run_command", "read_file", "create_file", "remove_file"),
}

Served = Callable[..., AbstractContextManager[BlockingSupervisor]]


@pytest.fixture
def served(directories: Directories, make_spec: MakeSpec) -> Served:
    """Serve a fake server, or the given specs."""
    return lambda *specs, **options: serve(specs or (make_spec(),), directories=directories, **options)


def public(thing: object) -> set[str]:
    return {name for name in dir(thing) if not name.startswith("_")}


def test_every_public_name_of_a_server_has_a_twin(make_spec: MakeSpec, directories: Directories) -> None:
    server = Supervisor(make_spec(), directories=directories)["fake"]
    assert public(server) - WITHOUT_A_TWIN == public(BlockingServer)
    assert public(server) >= WITHOUT_A_TWIN


def test_a_server_shows_nothing_of_the_engine(make_spec: MakeSpec, directories: Directories) -> None:
    server = Supervisor(make_spec(), directories=directories)["fake"]
    engine = public(engine_of(server))
    assert public(server) < engine
    assert engine - public(server) >= {"run", "desired", "context", "reporter", "ask_up", "wake"}
    assert engine >= public(ServerView)


def test_every_public_name_of_a_supervisor_has_a_twin() -> None:
    of_a_mapping = {"get", "items", "keys", "values"}
    assert public(BlockingSupervisor) - of_a_mapping == public(Supervisor) - {"close"}


@pytest.mark.parametrize(("twin", "original"), [(BlockingServer, Server), (BlockingSupervisor, Supervisor)])
def test_twins_take_the_same_arguments(twin: type, original: type) -> None:
    for name in public(twin) & public(original):
        ours, theirs = getattr(twin, name), getattr(original, name)
        if inspect.isfunction(ours):
            assert inspect.signature(ours).parameters == inspect.signature(theirs).parameters, name
            assert not inspect.iscoroutinefunction(ours)
        else:
            assert isinstance(ours, property)
            assert isinstance(theirs, property)


def test_a_program_without_a_loop_reads_all_of_a_server(served: Served) -> None:
    with served() as servers:
        server = servers["fake"]
        server.wait_ready(10)
        assert (server.name, server.spec.name, server.generation) == ("fake", "fake", 1)
        assert server.state.value == "running"
        assert server.endpoint == Endpoint("127.0.0.1", int((server.url or "").rpartition(":")[2]))
        assert server.pid is not None
        assert server.uptime > 0
        assert server.memory > 1_000_000
        assert (server.health, server.auth, dict(server.facts)) == ("", None, {})
        assert (server.restarts, server.event_count, server.error) == (0, 0, None)
        assert server.data_dir != server.cache_dir != server.state_dir

    assert server.state is State.STOPPED
    assert [server.pid, server.memory, server.health, server.uptime] == [None, 0, "", 0.0]


def test_every_command_has_a_blocking_twin(served: Served, make_spec: MakeSpec) -> None:
    with served(make_spec(autostart=False)) as servers:
        server = servers["fake"]
        server.start()
        server.wait_ready(timeout=10)
        server.restart(generation=7)
        assert server.generation == 1
        server.restart()
        server.wait_ready(10)
        assert server.generation == 2
        server.stop(force=True)
        server.wait_stopped()
        server.start()
        server.force_stop()
        assert server.state is State.STOPPED


def test_ensure_starts_what_is_down_and_leaves_alone_what_is_up(served: Served, make_spec: MakeSpec) -> None:
    with served(make_spec(autostart=False)) as servers:
        server = servers["fake"]
        with pytest.raises(ServerError, match="it is stopped"):
            server.wait_for(State.RUNNING, 20)
        assert repr(server) == "<BlockingServer fake stopped>"

        assert server.ensure(20) is server
        assert server.ensure(20).generation == 1
        server.wait_for(State.RUNNING)
        assert repr(server) == f"<BlockingServer fake running {server.url} pid {server.pid}>"
        with pytest.raises(StartupTimeout, match="not backoff after"):
            server.wait_for(State.BACKOFF, 0.05)
        with pytest.raises(ValueError, match="'stoped' is not a valid State"):
            server.wait_for("stoped")  # type: ignore[arg-type]

        server.stop()
        server.wait_for(State.STOPPED)
        assert server.ensure(20).generation == 2


def test_all_servers_are_commanded_together(served: Served, make_spec: MakeSpec) -> None:
    specs = [make_spec(name="db"), make_spec(name="web", needs=("db",)), make_spec(name="x", autostart=False)]
    heard: list[Event] = []

    with served(*specs) as servers:
        assert (list(servers), len(servers)) == (["db", "web", "x"], 3)
        assert dict(servers.servers) == dict(servers)
        events = servers.events()
        end = servers.listen(heard.append)
        servers.wait_ready(timeout=10)
        servers.start("x")
        servers.wait_ready("x", timeout=10)
        servers.stop()
        servers.wait()
        assert isinstance(next(events), Event)
        count = len(heard)
        end()
        servers.start("db")

    assert count == len(heard) > 9


def test_an_unknown_name_is_told_with_those_that_there_are(served: Served) -> None:
    with served() as servers:
        assert "x" not in servers
        with pytest.raises(KeyError, match="there are: fake"):
            servers["x"]


def test_errors_pass_through_as_they_are(served: Served, make_spec: MakeSpec) -> None:
    bad = ServerSpec(name="bad", command=("no-such-program",), autostart=False)
    slow = make_spec("--announce-delay", "60", name="slow")
    dies = make_spec("--exit-after", "0", name="dies", restart=replace(QUICK, start_retries=0))
    with served(bad, slow, dies, make_spec()) as servers:
        servers["fake"].wait_ready(10)
        with pytest.raises(ProcessAlreadyRunning):
            servers["fake"].start()
        with pytest.raises(ServerError, match="no-such-program"):
            servers["bad"].start()
        with pytest.raises(StartupTimeout):
            servers["slow"].wait_ready(0.1)
        with pytest.raises(ServerCrashed) as caught:
            servers["dies"].wait_ready(10)
        assert servers["dies"].error is caught.value


def test_a_mistake_in_the_specs_is_told_before_anything_starts(served: Served, make_spec: MakeSpec) -> None:
    with pytest.raises(InvalidConfiguration, match='no server "db"'), served(make_spec(needs=("db",))):
        pytest.fail("entered")


def test_an_exception_in_the_block_stops_everything_and_comes_out(served: Served) -> None:
    with pytest.raises(ZeroDivisionError), served() as servers:  # noqa: PT012 - the clean-up is part of it
        servers["fake"].wait_ready(10)
        raise ZeroDivisionError
    assert servers["fake"].state is State.STOPPED


def test_no_thread_is_left(served: Served) -> None:
    before = set(threading.enumerate())
    with served() as servers:
        servers["fake"].wait_ready(10)
        assert "hostler" in {thread.name for thread in threading.enumerate()}
    assert set(threading.enumerate()) == before


def test_a_file_and_a_loaded_configuration_can_be_served(tmp_path: Path, directories: Directories) -> None:
    file = tmp_path / "hostler.toml"
    command = str(fake_server("--port", "${server.port}"))
    file.write_text(f"[servers.web]\ncommand = {command}\nplugins.regex-port = true\n")
    for configuration in (file, str(file)):
        with serve(configuration, directories=directories) as servers:
            servers.wait_ready(timeout=10)
    with serve(Configuration({}), directories=directories) as servers:
        assert not servers


# -- iterators -----------------------------------------------------------------------------------


def test_iterators_end_with_the_block_and_lose_nothing(served: Served) -> None:
    with served() as servers:
        followed = [servers.events(), servers["fake"].events()]
        servers["fake"].wait_ready(10)
        servers["fake"].restart()  # who follows may have come after the first start
        servers["fake"].wait_ready(10)
        iter(followed[0])
        assert next(followed[0]).server == "fake"

    for events in followed:
        states = [event.state for event in events if isinstance(event, StateChanged)]
        assert states[-4:] == [State.WAITING_READY, State.RUNNING, State.STOPPING, State.STOPPED]


def test_iterators_that_wait_in_other_threads_end_with_the_block(served: Served) -> None:
    with ThreadPoolExecutor(4) as threads:
        with served() as servers:
            server = servers["fake"]
            server.wait_ready(10)
            iterators: list[Iterator[object]] = [server.events(), server.lines(), server.stream_events()]
            lists = [threads.submit(list, iterator) for iterator in iterators]
            waiting = threads.submit(server.wait_stopped)
        events, lines, stream = (one.result(5) for one in lists)
        waiting.result(5)

    assert len(events) >= 2
    assert (lines, stream) == ([], [])


def test_an_error_in_the_block_ends_iterators_in_other_threads_too(served: Served) -> None:
    with ThreadPoolExecutor(1) as threads:
        with pytest.raises(ZeroDivisionError), served() as servers:  # noqa: PT012 - as above
            servers["fake"].wait_ready(10)
            events = threads.submit(list, servers["fake"].events())
            raise ZeroDivisionError
        assert events.result(5)


@dataclass(eq=False)
class Talks:
    """Publishes, and delivers events of a stream."""

    @hookimpl
    async def on_ready(self, server: ServerView) -> None:
        server.publish("TALKS_AT", "${server.url}")
        server.deliver(StreamEvent("hello", "{}"))
        server.deliver(StreamGap("reconnected"))
        server.notice("said", "all was said")


def test_lines_stream_events_and_the_environment_come_over(served: Served, make_spec: MakeSpec) -> None:
    plugins = (announced(), PluginSpec("talks", instance=Talks()))
    with served(make_spec("--print", "a line", plugins=plugins, autostart=False)) as servers:
        server = servers["fake"]
        lines, stream, events = server.lines(), server.stream_events(), server.events()
        server.start()
        assert next(lines).text == "a line"
        assert [next(stream), next(stream)] == [StreamEvent("hello", "{}"), StreamGap("reconnected")]
        assert next(event for event in events if isinstance(event, Notice)).topic == "said"
        assert server.event_count == 1
        assert server.child_env({"A": "b"}) == {"A": "b", "TALKS_AT": server.url}
        assert server.child_env()["PATH"] == os.environ["PATH"]


@pytest.mark.parametrize("buffer", [1, 4096, 20_000])
def test_a_burst_arrives_in_the_buffer_and_what_is_lost_is_counted(
    served: Served, make_spec: MakeSpec, buffer: int
) -> None:
    burst = replace(make_spec(), kind=Kind.TASK, command=("seq", "1", "20000"), port=None, plugins=())
    with served(replace(burst, autostart=False)) as servers:
        lines = servers["fake"].lines(buffer)
        servers["fake"].start()
        servers["fake"].wait_completed(20)
    taken = list(lines)
    assert (taken[-1].text, len(taken)) == ("20000", buffer)
    assert [line.missed for line in taken if line.missed] == ([20_000 - buffer] if buffer < 20_000 else [])


def test_a_crash_is_seen_from_plain_code(served: Served) -> None:
    with served() as servers:
        server = servers["fake"]
        server.wait_ready(10)
        os.kill(server.pid or 0, signal.SIGKILL)
        server.wait_ready(10)
        assert (server.generation, server.restarts) == (2, 1)


def test_after_the_block_commands_are_refused_in_words(served: Served) -> None:
    with served() as servers:
        server = servers["fake"]
    for command in (server.start, server.stop, servers.wait, server.events, lambda: servers.stop("fake")):
        with pytest.raises(ServerError, match=r"hostler\.serve has ended"):
            command()
    assert server.state is State.STOPPED
