"""What goes wrong around a server, and what is released, told and kept from others all the same."""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import signal
import threading
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hostler import (
    Action,
    Advice,
    Directories,
    Endpoint,
    Event,
    Exit,
    Exited,
    Healthy,
    Launch,
    Notice,
    PluginFailed,
    PluginSpec,
    Report,
    RestartPolicy,
    Server,
    ServerError,
    ServerSpec,
    ServerView,
    State,
    StateChanged,
    StreamName,
    Supervisor,
    Unhealthy,
    hookimpl,
)
from hostler.process.disk.lock import NameLock
from hostler.testing import FakeChild, SimulatedHost, run_virtually
from specs import QUICK, MakeSpec, announced

NO_RETRY = replace(QUICK, start_retries=0)
SLOW = RestartPolicy(initial_delay=60.0, max_delay=60.0, start_retries=1)


async def reaches(server: Server, *wanted: State) -> None:
    with anyio.fail_after(20):
        await server.until(lambda: server.state in wanted)


async def reaches_in(seconds: float, server: Server, *wanted: State) -> None:
    with anyio.fail_after(seconds):
        await server.until(lambda: server.state in wanted)


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def with_plugin(plugin: object) -> tuple[PluginSpec, ...]:
    return (announced(), PluginSpec("odd", instance=plugin))


# -- what a launch holds is released, once, however it ends ---------------------------------------


@dataclass(eq=False)
class Bucket:
    """A sink that counts how often it is closed."""

    closed: int = 0

    def write(self, stream: StreamName, data: bytes) -> None:
        pass

    def close(self) -> None:
        self.closed += 1


@dataclass(eq=False)
class Holds:
    """Gives the launch something of everything that has to be released, then ends in its own way."""

    folder: Path
    ending: Callable[[Launch], Awaitable[None]]
    sinks: list[Bucket] = field(init=False, default_factory=list)
    deferred: list[str] = field(init=False, default_factory=list)
    begun: anyio.Event = field(init=False, default_factory=anyio.Event)

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        self.sinks.append(Bucket())
        launch.sinks.append(self.sinks[-1])
        launch.defer(lambda: self.deferred.append("first"))
        launch.defer(self._second)
        launch.defer(_fails)
        self.folder.mkdir(exist_ok=True)
        launch.remove_at_end(self.folder)
        self.begun.set()
        await self.ending(launch)

    async def _second(self) -> None:
        await anyio.lowlevel.checkpoint()
        self.deferred.append("second")


def _fails() -> None:
    raise RuntimeError("this clean-up is broken")


async def _goes_on(_: Launch) -> None:
    pass


async def _raises(_: Launch) -> None:
    raise RuntimeError("half way")


async def _hangs(_: Launch) -> None:
    await anyio.sleep_forever()


async def _names_no_program(launch: Launch) -> None:
    launch.argv[:] = ["no-such-program-here"]


async def _leaks(launch: Launch) -> None:
    launch.env["SOME_TOKEN"] = "sesame-open-sesame"


async def _gives_nonsense(launch: Launch) -> None:
    launch.argv.append(3)  # type: ignore[arg-type]


ENDINGS = [
    (_goes_on, ()),
    (_goes_on, ("--exit-after", "0")),
    (_goes_on, ("--ignore-term",)),
    (_raises, ()),
    (_hangs, ()),
    (_names_no_program, ()),
    (_leaks, ()),
    (_gives_nonsense, ()),
]


@pytest.mark.parametrize(("ending", "switches"), ENDINGS)
async def test_what_a_launch_holds_is_released_once_however_it_ends(
    make_spec: MakeSpec,
    directories: Directories,
    tmp_path: Path,
    ending: Callable[[Launch], Awaitable[None]],
    switches: tuple[str, ...],
) -> None:
    plugin = Holds(tmp_path / "scratch", ending)
    spec = make_spec(*switches, plugins=with_plugin(plugin), restart=NO_RETRY, force_kill_timeout=0.2)

    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        await plugin.begun.wait()

        if ending is not _hangs:
            await reaches(server, State.RUNNING, State.FAILED)

        await server.stop()
        assert [sink.closed for sink in plugin.sinks] == [1]
        assert plugin.deferred == ["second", "first"]
        assert not plugin.folder.exists()
        assert files_in(directories.state) == []


@dataclass(eq=False)
class EndsSlowly:
    """Is at it when it is cancelled, and goes on for a moment: it holds one thing more then."""

    released: list[str] = field(default_factory=list)
    begun: anyio.Event = field(default_factory=anyio.Event)

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        self.begun.set()

        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.2)
            launch.defer(lambda: self.released.append("late"))


async def test_what_a_start_holds_that_ends_slowly_is_released_too(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = EndsSlowly()

    async with Supervisor(make_spec(plugins=with_plugin(plugin)), directories=directories) as supervisor:
        await plugin.begun.wait()
        await supervisor["fake"].stop()
        assert plugin.released == ["late"]


@pytest.mark.parametrize("ending", [_goes_on, _hangs])
async def test_what_a_launch_holds_is_released_when_the_loop_is_torn_down(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path, ending: Callable[[Launch], Awaitable[None]]
) -> None:
    plugin = Holds(tmp_path / "scratch", ending)
    supervisor = Supervisor(make_spec(plugins=with_plugin(plugin)), directories=directories)

    async with torn_down(supervisor) as server:
        await (plugin.begun.wait() if ending is _hangs else server.wait_ready(10))

    assert [sink.closed for sink in plugin.sinks] == [1]
    assert plugin.deferred == ["first"]  # a coroutine cannot be run any more
    assert not plugin.folder.exists()
    assert files_in(directories.state) == []


@asynccontextmanager
async def torn_down(supervisor: Supervisor) -> AsyncIterator[Server]:
    """Enter it and never leave; at the end cancel all tasks that came up, as asyncio.run does."""
    before = asyncio.all_tasks()
    await supervisor.__aenter__()
    yield supervisor["fake"]
    tasks = asyncio.all_tasks() - before

    for task in tasks:
        task.cancel()

    _, left = await asyncio.wait(tasks, timeout=10)
    assert not left


async def test_a_server_whose_loop_is_torn_down_is_stopped_and_says_so(
    make_spec: MakeSpec, directories: Directories
) -> None:
    heard: list[State] = []
    supervisor = Supervisor(make_spec(), directories=directories)

    async with torn_down(supervisor) as server:
        await server.wait_ready(10)
        supervisor.listen(
            lambda event: heard.append(event.state) if isinstance(event, StateChanged) else None
        )

    assert heard == [State.STOPPING, State.STOPPED]
    assert supervisor["fake"].pid is None


async def test_a_server_that_waits_for_its_restart_lets_go_of_its_lock_when_the_loop_is_torn_down(
    make_spec: MakeSpec, directories: Directories
) -> None:
    supervisor = Supervisor(
        make_spec("--exit-after", "0", restart=SLOW), directories=directories, namespace="n"
    )

    async with torn_down(supervisor) as server:
        await reaches(server, State.BACKOFF)

    async with Supervisor(make_spec(), directories=directories, namespace="n") as other:
        await other["fake"].wait_ready(10)


# -- what plugins do to the engine ----------------------------------------------------------------


@dataclass(eq=False)
class Defers:
    """Defers one clean-up."""

    cleanup: Callable[[], Any]

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        launch.defer(self.cleanup)


async def _is_cancelled() -> None:
    raise asyncio.CancelledError


async def _exits() -> None:
    raise SystemExit(3)


def _exits_at_once() -> None:
    raise SystemExit(3)


@pytest.mark.parametrize("cleanup", [_is_cancelled, _exits, _exits_at_once])
async def test_no_clean_up_ends_the_engine(
    make_spec: MakeSpec, directories: Directories, cleanup: Callable[[], Any]
) -> None:
    notices: list[str] = []

    async with Supervisor(
        make_spec(plugins=with_plugin(Defers(cleanup))), directories=directories
    ) as supervisor:
        server = supervisor["fake"]
        supervisor.listen(lambda event: notices.append(event.topic) if isinstance(event, Notice) else None)
        await server.wait_ready(10)

        with anyio.fail_after(10):
            await server.restart()
            await server.wait_ready()
            await server.stop()

    assert notices == ["cleanup_failed"] * 2


@dataclass(eq=False)
class Beside:
    """Has something done beside the run."""

    work: Callable[[], Any]

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        launch.warm_up(_exits_at_once)
        server.start_soon(self.work)


@pytest.mark.parametrize("work", [_is_cancelled, _exits, _exits_at_once])
async def test_nothing_beside_a_run_ends_the_engine(
    make_spec: MakeSpec, directories: Directories, work: Callable[[], Any]
) -> None:
    async with Supervisor(
        make_spec(plugins=with_plugin(Beside(work))), directories=directories
    ) as supervisor:
        await supervisor["fake"].wait_ready(10)
        await anyio.sleep(0.1)
        assert supervisor["fake"].state is State.RUNNING


async def test_a_task_that_is_started_while_a_run_ends_ends_with_it(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Persistent()

    async with Supervisor(make_spec(plugins=with_plugin(plugin)), directories=directories) as supervisor:
        await supervisor["fake"].wait_ready(10)
        await supervisor["fake"].stop()
        left = [task for task in asyncio.all_tasks() if "background" in task.get_name()]
        assert left == []

    assert plugin.starts == 1


@dataclass(eq=False)
class Persistent:
    """Starts again what was cancelled."""

    starts: int = field(init=False, default=0)
    _server: ServerView | None = field(init=False, default=None)

    @hookimpl
    async def on_ready(self, server: ServerView) -> None:
        self._server = server
        server.start_soon(self._work)

    async def _work(self) -> None:
        self.starts += 1

        try:
            await anyio.sleep_forever()
        finally:
            assert self._server is not None
            self._server.start_soon(self._work)


class Angry(logging.Handler):
    """A host's log handler that is broken."""

    def emit(self, record: logging.LogRecord) -> None:
        raise OSError(errno.ENOSPC, "no room for logs")


@contextmanager
def logging_to(handler: logging.Handler) -> Iterator[None]:
    logger = logging.getLogger("hostler")
    logger.addHandler(handler)

    try:
        yield
    finally:
        logger.removeHandler(handler)


async def test_a_broken_log_handler_of_the_host_hurts_nobody(
    make_spec: MakeSpec, directories: Directories
) -> None:
    complaints: list[str] = []
    asyncio.get_running_loop().set_exception_handler(
        lambda _, told: complaints.append(str(told["exception"]))
    )

    with logging_to(Angry(logging.WARNING)):
        async with Supervisor(make_spec("--exit-after", "0.2"), directories=directories) as supervisor:
            await reaches(supervisor["fake"], State.FAILED)
            assert supervisor["fake"].generation == 1 + QUICK.max_restarts

    assert "no room for logs" in complaints[0]


# -- health plugins -------------------------------------------------------------------------------


@dataclass(eq=False)
class Stubborn:
    """A health plugin that goes on after it was asked to end, or to be closed."""

    swallows: bool = False
    ignores_close: bool = False
    nonsense: bool = False
    yields: int = field(init=False, default=0)
    twice: anyio.Event = field(init=False, default_factory=anyio.Event)

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        self.yields += 1
        self.twice.set() if self.yields == 2 else None
        yield Healthy()

        if self.nonsense:
            try:
                yield "all is well"  # type: ignore[misc]
            finally:
                if self.ignores_close:
                    yield Healthy()

        while True:
            try:
                await asyncio.sleep(0.01)
            except asyncio.CancelledError:
                if not self.swallows:
                    raise

            self.yields += 1

            try:
                yield Healthy()
            except GeneratorExit:
                if not self.ignores_close:
                    raise

                self.ignores_close = False  # or Python itself complains when it forgets this one


@pytest.mark.parametrize("plugin", [Stubborn(swallows=True), Stubborn(swallows=True, ignores_close=True)])
async def test_a_health_plugin_that_yields_after_the_end_is_closed(
    make_spec: MakeSpec, directories: Directories, plugin: Stubborn
) -> None:
    async with Supervisor(make_spec(plugins=with_plugin(plugin)), directories=directories) as supervisor:
        await supervisor["fake"].wait_ready(10)
        began = time.monotonic()
        await supervisor["fake"].stop()
        assert time.monotonic() - began < 1
        yields = plugin.yields
        await asyncio.sleep(0.1)
        assert plugin.yields == yields


@pytest.mark.parametrize("ignores_close", [False, True])
async def test_a_health_plugin_that_yields_nonsense_is_unknown_and_started_again(
    make_spec: MakeSpec, directories: Directories, ignores_close: bool
) -> None:
    plugin = Stubborn(nonsense=True, ignores_close=ignores_close)

    async with Supervisor(make_spec(plugins=with_plugin(plugin)), directories=directories) as supervisor:
        server = supervisor["fake"]

        with anyio.fail_after(10):
            await server.until(lambda: server.health == "unknown")
            await plugin.twice.wait()


@dataclass(eq=False)
class Blocks:
    """A health plugin that keeps the event loop to itself."""

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        time.sleep(0.3)  # noqa: ASYNC251 - what must not be done
        yield Healthy()


async def test_a_health_plugin_that_blocks_the_loop_is_named_and_has_not_failed(
    make_spec: MakeSpec, directories: Directories
) -> None:
    events: list[Event] = []

    async with Supervisor(make_spec(plugins=with_plugin(Blocks())), directories=directories) as supervisor:
        supervisor.listen(events.append)
        await supervisor["fake"].wait_ready(10)

    (told,) = [event for event in events if isinstance(event, Notice) and event.topic == "plugin_slow"]
    assert (told.details["plugin"], told.details["hook"]) == ("odd", "health_check")
    assert "plugin odd blocked the event loop" in told.text
    assert [event for event in events if isinstance(event, PluginFailed)] == []


async def test_health_tasks_end_when_the_loop_is_torn_down_hard(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Stubborn()
    supervisor = Supervisor(make_spec(plugins=with_plugin(plugin)), directories=directories)
    await supervisor.__aenter__()
    await supervisor["fake"].wait_ready(10)
    assert supervisor._engine is not None
    supervisor._engine.cancel()

    with suppress(asyncio.CancelledError):
        await supervisor._engine

    yields = plugin.yields
    await asyncio.sleep(0.1)
    assert plugin.yields <= yields + 1


# -- the restart policy ------------------------------------------------------------------------------


RESTART_NOW = Advice(Action.RESTART_NOW)


@dataclass(eq=False)
class Advises:
    """Advises to restart now, or what it is told to."""

    advice: Advice = RESTART_NOW

    @hookimpl
    async def on_crash(self) -> Advice:
        return self.advice


@pytest.mark.parametrize("turned", [False, True])
@pytest.mark.parametrize(
    ("advice", "told"),
    [
        (
            (Advice(Action.GIVE_UP, ServerError("no key")), Advice(Action.BACK_OFF, ServerError("busy"))),
            "no key",
        ),
        ((Advice(Action.GIVE_UP), Advice(Action.RESTART_NOW, ServerError("busy"))), "busy"),
        ((Advice(Action.GIVE_UP), Advice(Action.BACK_OFF)), "it exited unexpectedly"),
    ],
)
def test_of_several_advices_the_strongest_counts_and_the_error_of_the_strongest_that_has_one(
    directories: Directories, advice: tuple[Advice, Advice], told: str, turned: bool
) -> None:
    plugins = tuple(
        PluginSpec(f"p{number}", instance=Advises(word))
        for number, word in enumerate(reversed(advice) if turned else advice)
    )

    async def main() -> None:
        world = SimulatedHost()
        spec = ServerSpec(name="web", command=("x",), port=None, restart=QUICK, plugins=plugins)

        async with world.supervisor(spec, directories=directories) as supervisor:
            server = supervisor["web"]
            await server.wait_ready(10)
            world.children[0].exit(3)
            await reaches(server, State.FAILED)
            assert server.generation == 1
            assert server.error is not None
            assert told in server.error.message

    run_virtually(main)


async def test_advice_to_restart_now_skips_the_delay_of_a_failed_start_too(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec("--exit-after", "0", plugins=with_plugin(Advises()), restart=SLOW)

    async with Supervisor(spec, directories=directories) as supervisor:
        with anyio.fail_after(10):
            await reaches(supervisor["fake"], State.FAILED)

        assert supervisor["fake"].generation == 2


class LeftOver(SimulatedHost):
    """A machine on which connections of a former run keep every port from who binds it.

    Each child says its word and ends, or listens where it has none to say.
    """

    def __init__(self, said: list[str]) -> None:
        super().__init__()
        self.said = iter(said)
        self.unused = iter(range(30_000, 31_000))
        self.on_child = self._behave

    def _behave(self, child: FakeChild) -> None:
        if text := next(self.said):
            child.say(text, "stderr")
            child.exit(1)
        else:
            child.listen()

    def needs_only_time(self, host: str, port: int, *, reuse: bool) -> bool:
        return not reuse

    def free_port(self, host: str, *, preferred: int | None, avoid: Collection[int]) -> int:
        return preferred or next(self.unused)


IN_USE, WELL = "OSError: [Errno 98] Address already in use", ""


@pytest.mark.parametrize(
    ("said", "state"),
    [
        ([IN_USE, WELL], State.RUNNING),
        ([IN_USE, IN_USE, WELL], State.FAILED),  # after the wait it has another reason
        (["no such table", WELL], State.FAILED),
    ],
)
@pytest.mark.parametrize("port", [0, 4000])
def test_only_a_first_bind_that_fails_for_connections_left_over_spends_no_try(
    directories: Directories, said: list[str], state: State, port: int
) -> None:
    async def main() -> None:
        world = LeftOver(said)
        spec = ServerSpec(name="web", command=("x",), port=port, restart=NO_RETRY)

        async with world.supervisor(spec, directories=directories) as supervisor:
            await reaches_in(600, supervisor["web"], State.RUNNING, State.FAILED)
            assert supervisor["web"].state is state
            ports = [child.launch.port for child in world.children]
            assert len(ports) == said.index(WELL) + (state is State.RUNNING)
            assert len({*ports}) == (1 if port else len(ports)), "where it is free to choose, another one"

    run_virtually(main)


def test_after_a_run_that_was_ready_a_port_is_waited_for_once_more(directories: Directories) -> None:
    async def main() -> None:
        world = LeftOver([IN_USE, WELL, IN_USE, WELL])
        policy = replace(NO_RETRY, max_restarts=1)
        spec = ServerSpec(name="web", command=("x",), port=4000, restart=policy)

        async with world.supervisor(spec, directories=directories) as supervisor:
            server = supervisor["web"]
            await reaches_in(600, server, State.RUNNING)
            world.children[1].exit(1)
            await reaches_in(600, server, State.CRASHED, State.BACKOFF)
            await reaches_in(600, server, State.RUNNING, State.FAILED)
            assert server.state is State.RUNNING

    run_virtually(main)


@dataclass(eq=False)
class Complains:
    """Says that all is well, once, and then that it is not."""

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        yield Healthy()
        await asyncio.sleep(0.05)
        yield Unhealthy("gone", fatal=True)


async def test_the_time_that_a_server_takes_to_die_is_no_stable_running(
    make_spec: MakeSpec, directories: Directories
) -> None:
    policy = replace(QUICK, max_restarts=1, stable_after=0.5)
    plugins = with_plugin(Complains())
    spec = make_spec("--ignore-term", plugins=plugins, restart=policy, force_kill_timeout=0.6)

    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.until(lambda: server.state is State.FAILED or server.generation > 2)
        assert (server.state, server.generation) == (State.FAILED, 2)


async def test_a_run_that_was_stable_gives_the_budget_back(
    make_spec: MakeSpec, directories: Directories
) -> None:
    policy = replace(QUICK, max_restarts=1, stable_after=0.1)
    spec = make_spec("--exit-after", "0.5", restart=policy)

    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]

        with anyio.fail_after(10):
            await server.until(lambda: server.state is State.FAILED or server.generation == 4)

        assert server.state is not State.FAILED


# -- the rest -------------------------------------------------------------------------------------


@dataclass(eq=False)
class SlowParser:
    """Takes its time for each line."""

    asked: int = field(init=False, default=0)

    @hookimpl
    def parse_port(self, line: str) -> Endpoint | None:
        self.asked += 1
        time.sleep(0.01)
        return None


async def test_a_flood_of_lines_for_a_slow_parser_does_not_starve_the_loop(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = SlowParser()
    switches = ("--port", "0", "--no-announce", "--flood", "1000000")
    spec = make_spec(*switches, plugins=(PluginSpec("slow", instance=plugin),))

    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        await reaches(server, State.WAITING_READY)
        longest = 0.0

        while plugin.asked < 50:
            began = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - began)

        with anyio.fail_after(5):
            await server.stop()

        assert longest < 0.5
        assert plugin.asked < 1000


async def test_memory_that_cannot_be_read_ends_nothing(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        looked.set()
        raise OSError(errno.EMFILE, "too many open files")

    looked = asyncio.Event()
    # A real shortage of descriptors would hit the test's own pipes, too.
    monkeypatch.setattr("hostler.process.system.tree_memory", refuse)

    async with Supervisor(make_spec(memory_interval=0.05), directories=directories) as supervisor:
        await supervisor["fake"].wait_ready(10)
        looked.clear()
        await asyncio.wait_for(looked.wait(), 10)
        await asyncio.sleep(0.1)
        assert supervisor["fake"].state is State.RUNNING


async def test_a_missing_tool_is_told_once(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostler.process.spawn.privileges._find_tool", lambda _: None)  # as on macOS
    notices: list[str] = []

    async with Supervisor(make_spec(), directories=directories) as supervisor:
        supervisor.listen(lambda event: notices.append(event.topic) if isinstance(event, Notice) else None)
        await supervisor["fake"].wait_ready(10)
        await supervisor["fake"].restart()
        await supervisor["fake"].wait_ready(10)

    assert notices == ["tool_missing"]


async def test_a_host_that_blocks_the_loop_for_longer_than_a_start_may_take_does_no_harm(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec("--announce-delay", "0.2", startup_timeout=0.5)

    async with Supervisor(spec, directories=directories) as supervisor:
        await reaches(supervisor["fake"], State.WAITING_READY)
        time.sleep(1.2)  # noqa: ASYNC251 - what a host may do
        await supervisor["fake"].wait_ready(5)
        assert supervisor["fake"].generation == 1


async def test_a_host_that_ignores_the_ends_of_children_gets_all_but_exit_codes_and_is_told(
    make_spec: MakeSpec, directories: Directories
) -> None:
    exits: list[Exit] = []
    notices: list[str] = []
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    try:
        supervisor = Supervisor(make_spec("--spawn-session-child"), directories=directories)
        supervisor.listen(lambda event: exits.append(event.exit) if isinstance(event, Exited) else None)
        supervisor.listen(lambda event: notices.append(event.topic) if isinstance(event, Notice) else None)

        async with supervisor:
            server = supervisor["fake"]
            await server.wait_ready(10)
            os.kill(server.pid or 0, signal.SIGKILL)
            await server.wait_ready(10)
            assert server.generation == 2

    finally:
        signal.signal(signal.SIGCHLD, before)

    assert [exit_.description for exit_ in exits] == ["unknown exit status"] * 2
    assert notices.count("exits_unknown") == 1


async def test_waiting_for_a_clean_up_by_another_hostler_does_not_block_the_loop(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec(), directories=directories, namespace="n") as supervisor:
        await supervisor["fake"].wait_ready(10)
        path = next(directories.state.rglob("*.lock"))

    sweep = NameLock.take_stale(path)
    assert sweep is not None

    async with Supervisor(make_spec(), directories=directories, namespace="n") as supervisor:
        await reaches(supervisor["fake"], State.STARTING)
        began = time.monotonic()
        await asyncio.sleep(0.3)
        assert time.monotonic() - began < 1
        assert supervisor["fake"].state is State.STARTING
        sweep.release()
        await supervisor["fake"].wait_ready(10)


def test_supervisors_in_several_threads_do_not_meet(make_spec: MakeSpec, directories: Directories) -> None:
    async def live() -> None:
        async with Supervisor(make_spec(), directories=directories) as supervisor:
            server = supervisor["fake"]
            await server.wait_ready(10)
            os.kill(server.pid or 0, signal.SIGKILL)
            await server.wait_ready(10)
            await server.restart()
            await server.wait_ready(10)
            done.append(server.generation)

    done: list[int] = []
    threads = [threading.Thread(target=asyncio.run, args=(live(),)) for _ in range(3)]

    for thread in threads:
        thread.start()

    for thread in threads:
        thread.join(30)

    assert done == [3, 3, 3]


@dataclass(eq=False)
class HangsInCrash:
    """Takes as long as it may after a crash."""

    @hookimpl
    async def on_crash(self) -> None:
        await anyio.sleep(60)


async def test_a_forced_stop_does_not_wait_for_plugins_after_a_crash(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec("--exit-after", "0.2", plugins=with_plugin(HangsInCrash()))

    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        await reaches(server, State.CRASHED)

        with anyio.fail_after(2):
            await server.force_stop()

        assert server.state is State.STOPPED


@dataclass(eq=False)
class Gate:
    """Holds a start up while it is shut."""

    open: bool = True
    waiting: anyio.Event = field(default_factory=anyio.Event)
    opened: anyio.Event = field(default_factory=anyio.Event)

    @hookimpl
    async def pre_spawn(self) -> None:
        if not self.open:
            self.waiting.set()
            await self.opened.wait()


async def test_a_server_starts_when_all_that_it_needs_are_ready_at_the_same_time(
    make_spec: MakeSpec, directories: Directories
) -> None:
    gates = {"db": Gate(), "cache": Gate(open=False)}
    specs = [make_spec(name=name, plugins=with_plugin(gate)) for name, gate in gates.items()]
    specs.append(make_spec(name="web", needs=("db", "cache")))

    async with Supervisor(specs, directories=directories) as supervisor:
        web, db = supervisor["web"], supervisor["db"]
        await db.wait_ready(10)
        await gates["cache"].waiting.wait()
        await reaches(web, State.STARTING)
        gates["db"].open = False
        restarting = asyncio.create_task(db.restart())
        await gates["db"].waiting.wait()
        gates["cache"].opened.set()
        await supervisor["cache"].wait_ready(10)
        await asyncio.sleep(0.1)
        assert web.state is State.STARTING
        gates["db"].opened.set()
        await restarting
        await web.wait_ready(10)


async def test_a_crashed_need_that_comes_back_is_waited_for(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [
        make_spec("--exit-after", "0.3", name="db"),
        make_spec(name="web", needs=("db",), autostart=False),
    ]

    async with Supervisor(specs, directories=directories) as supervisor:
        await reaches(supervisor["db"], State.RUNNING)
        await reaches(supervisor["db"], State.CRASHED, State.BACKOFF)
        await supervisor["web"].start()
        assert supervisor["db"].generation > 1


async def test_a_need_that_is_stopped_meanwhile_ends_the_start(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [make_spec("--port", "0", "--no-announce", name="db"), make_spec(name="web", needs=("db",))]

    async with Supervisor(specs, directories=directories) as supervisor:
        await reaches(supervisor["db"], State.WAITING_READY)
        await supervisor["db"].stop()

        with pytest.raises(ServerError, match="it needs db, which is stopped"):
            await supervisor["web"].wait_ready(10)


async def test_no_event_of_an_older_run_follows_one_of_a_newer(
    make_spec: MakeSpec, directories: Directories
) -> None:
    events: list[Event] = []

    async with Supervisor(make_spec("--log-requests"), directories=directories) as supervisor:
        server = supervisor["fake"]
        supervisor.listen(events.append)

        for _ in range(5):
            await server.wait_ready(10)
            await server.restart()

    generations = [event.generation for event in events]
    assert generations == sorted(generations)
    assert generations[-1] == 6


async def test_lines_of_a_worker_are_cut_only_while_somebody_follows_them(directories: Directories) -> None:
    spec = ServerSpec(name="worker", command=("sh", "-c", "while sleep 0.05; do echo tick; done"), port=None)

    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["worker"]
        await server.wait_ready(5)
        following = server.run.lines if server.run is not None else None
        assert following is not None
        assert not following.active
        lines = server.lines()

        with anyio.fail_after(5):
            assert (await anext(lines)).text == "tick"
            assert following.active
            del lines

            while following.active:  # noqa: ASYNC110 - nobody tells when a listener is forgotten
                await asyncio.sleep(0.05)
