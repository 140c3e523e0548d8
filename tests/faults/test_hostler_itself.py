"""hostler itself is hit: by signals, by its plugins, by a host that blocks it, by clocks and long sleeps."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
from cli_project import NOTHING, Project, eventually, five_plugins
from fault_setup import supervising
from hostler import (
    Directories,
    Endpoint,
    Event,
    Exit,
    HealthReported,
    Healthy,
    Launch,
    Notice,
    PluginFailed,
    PluginSpec,
    Report,
    Server,
    ServerView,
    State,
    StateChanged,
    StreamName,
    Supervisor,
    hookimpl,
)
from specs import QUICK, MakeSpec, announced

HANGING = f"{Path(__file__).with_name('hanging_hook.py')}:HangingHook"
ONCE = replace(QUICK, start_retries=0)


def held(world: Project, hook: str, *switches: str, seconds: float = 60.0, **keys: str) -> Path:
    """A configuration of a fake server with all five plugins, and one that holds it up in a hook."""
    holding = {"use": HANGING, "hook": hook, "seconds": seconds}
    return world.fake(*switches, plugins={**five_plugins(), "holding": holding}, **keys)


# -- signals -------------------------------------------------------------------------------------


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV])
def test_a_signal_that_ends_hostler_without_a_word_takes_the_server_along(
    world: Project, number: signal.Signals
) -> None:
    file = world.fake("--spawn-session-child", "--children-ignore-term", force_kill_timeout="200ms")
    running = world.start(
        ["prlimit", "--core=0", sys.executable, "-m", "hostler.cli", "run", str(file), "--json"]
    )
    server = running.event(event="state", state="running")["pid"]
    (child,) = (pid for pid in world.processes() if pid != server)
    assert running.stop(number) == -number
    eventually(lambda: list(world.processes()) == [child])

    again = world.hostler("run", file, "--json")
    assert again.event(event="notice", topic="orphans_removed")["details"]["pids"] == [child]
    again.event(event="state", state="running")
    assert again.stop(signal.SIGTERM) == 0
    assert world.what_is_left() == NOTHING


def test_a_hostler_that_is_killed_at_any_moment_of_a_start_is_cleaned_up_behind(world: Project) -> None:
    file = world.fake("--spawn-session-child", "--children-ignore-term", force_kill_timeout="200ms")

    for moment in range(7):
        running = world.hostler("run", file, "--json")
        running.event(event="state", state="starting")
        time.sleep(moment * 0.02)  # into the preparing, the spawn, the waiting, the running
        running.stop(signal.SIGKILL)

    last = world.hostler("run", file, "--json")
    server = last.event(event="state", state="running")["pid"]
    assert len(world.processes()) == 2
    assert server in world.processes()
    assert last.stop(signal.SIGTERM) == 0
    assert world.what_is_left() == NOTHING


def test_what_was_made_for_a_start_is_removed_though_hostler_was_killed_before_the_spawn(
    world: Project,
) -> None:
    running = world.hostler("run", held(world, "pre_spawn"), "--json")
    eventually(lambda: temporary_paths(world) != [])
    (folder,) = temporary_paths(world)
    eventually(folder.exists)
    running.stop(signal.SIGKILL)
    assert folder.exists()
    again = world.hostler("run", world.fake(), "--json")
    again.event(event="state", state="running")
    assert not folder.exists()
    assert again.stop(signal.SIGTERM) == 0
    assert world.what_is_left() == NOTHING


def temporary_paths(world: Project) -> list[Path]:
    """What the run records say is to be removed."""
    paths = [*(world.directories.state / "runs").glob("*.json")]
    return [
        Path(name) for path in paths for name in json.loads(path.read_text() or "{}").get("temporary", [])
    ]


@pytest.mark.parametrize("hook", ["pre_spawn", "on_ready", "on_shutdown"])
def test_two_signals_at_once_in_the_middle_of_a_hook_leave_nothing(world: Project, hook: str) -> None:
    running = world.hostler("run", held(world, hook, "--spawn-session-child"), "--json")
    running.event(event="state", state="starting" if hook == "pre_spawn" else "running")
    began = time.monotonic()
    running.signal(signal.SIGINT)

    if hook == "on_shutdown":
        running.event(event="state", state="stopping")

    assert running.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 5
    assert world.what_is_left() == NOTHING


def test_a_storm_of_signals_leaves_nothing(world: Project) -> None:
    running = world.hostler("run", world.fake("--spawn-session-child", "--term-delay", "0.2"), "--json")
    running.event(event="state", state="running")

    numbers = itertools.cycle((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))

    while running.process.poll() is None:  # to the very end, and into the end of the interpreter
        running.signal(next(numbers))
        time.sleep(0.001)

    assert running.end() == 0
    assert running.err == ["killing what is left"]
    assert world.what_is_left() == NOTHING


def test_a_ctrl_c_before_anything_is_started_ends_hostler_without_a_traceback(world: Project) -> None:
    argv = [sys.executable, "-X", "importtime", "-m", "hostler.cli", "run", str(world.fake())]

    for moment in range(8):
        running = world.start(argv)
        running.line(r"\| +hostler\.config$")  # what `hostler run` imports first
        time.sleep(moment * 0.02)
        assert running.stop(signal.SIGINT) in {0, -signal.SIGINT}
        assert [line for line in running.err if not line.startswith("import time:")] == []
        assert world.what_is_left() == NOTHING


# -- plugins -------------------------------------------------------------------------------------

BROKEN: tuple[BaseException, ...] = (
    ValueError("no luck"),
    SystemExit(3),
    KeyboardInterrupt(),
    asyncio.CancelledError(),
    GeneratorExit(),
    MemoryError(),
)


@dataclass(eq=False)
class Raises:
    """Raises in one place."""

    place: str
    error: BaseException

    def at(self, place: str) -> None:
        if place == self.place:
            raise self.error

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        launch.defer(lambda: self.at("clean-up"))
        launch.warm_up(lambda: self.at("warm-up"))
        launch.sinks.append(self)
        self.at("pre_spawn")

    @hookimpl
    def parse_port(self) -> Endpoint | None:
        self.at("parse_port")
        return None

    @hookimpl
    async def health_check(self, server: ServerView) -> AsyncGenerator[Report, None]:
        server.start_soon(self._beside)
        self.at("first report")
        yield Healthy()
        self.at("second report")

        try:
            yield Healthy()
        finally:
            self.at("closed stream")

    @hookimpl
    async def on_ready(self) -> None:
        self.at("on_ready")

    @hookimpl
    async def on_crash(self, exit: Exit) -> None:
        self.at("on_crash")

    @hookimpl
    async def on_shutdown(self) -> None:
        self.at("on_shutdown")

    async def _beside(self) -> None:
        self.at("beside")

    def write(self, stream: StreamName, data: bytes) -> None:
        self.at("write")

    def close(self) -> None:
        self.at("close")


PLACES = ["clean-up", "warm-up", "pre_spawn", "parse_port", "first report", "second report", "closed stream"]
PLACES += ["on_ready", "on_crash", "on_shutdown", "beside", "write", "close"]


@pytest.mark.parametrize("place", PLACES)
async def test_whatever_a_plugin_raises_wherever_hurts_nobody_but_its_server(
    make_spec: MakeSpec, directories: Directories, place: str
) -> None:
    specs, patience = [], 1.5 if place == "first report" else 30.0

    for number, error in enumerate(BROKEN):
        plugins = (PluginSpec("raises", instance=Raises(place, error)), announced())
        specs.append(make_spec(name=f"fake{number}", plugins=plugins, restart=ONCE, startup_timeout=patience))

    async with Supervisor(specs, directories=directories) as supervisor:
        servers = list(supervisor.servers.values())

        with anyio.fail_after(30):
            for server in servers:
                await settles(server)

        fails = place in {"pre_spawn", "first report"}
        assert {server.state for server in servers} == {State.FAILED if fails else State.RUNNING}
        assert {"raises" in str(server.error) for server in servers} == {fails}

        if not fails:
            await each_crashes_once(servers)

    assert {server.state for server in servers} == {State.FAILED if fails else State.STOPPED}
    assert [path for path in directories.state.rglob("*") if path.is_file()] == []


async def settles(server: Server) -> None:
    await server.until(lambda: server.usable or server.idle())


async def comes_back(server: Server) -> None:
    await server.until(lambda: server.generation == 2 and server.usable)


async def each_crashes_once(servers: list[Server]) -> None:
    for server in servers:
        os.kill(server.pid or 0, signal.SIGKILL)

    with anyio.fail_after(30):
        for server in servers:
            await comes_back(server)


# -- a host that blocks the loop ------------------------------------------------------------------

NERVOUS: tuple[PluginSpec, ...] = (
    announced(),
    PluginSpec("sse-health", {"stall_timeout": "400ms", "reconnect": "20ms", "max_reconnect": "50ms"}),
)
BEATS = ("--heartbeat", "0.1")


def complaints(events: list[Event]) -> list[Event]:
    """What would tell of a fault where there is none."""
    bad = {State.CRASHED, State.BACKOFF, State.FAILED}
    return [
        event
        for event in events
        if (isinstance(event, HealthReported) and event.healthy is not True)
        or (isinstance(event, StateChanged) and event.state in bad)
        or (isinstance(event, Notice) and event.topic != "plugin_slow")  # true when busy
        or isinstance(event, PluginFailed)
    ]


async def test_a_host_that_blocks_the_loop_for_long_makes_no_healthy_server_ill(
    make_spec: MakeSpec, directories: Directories
) -> None:
    events: list[Event] = []
    spec = make_spec(*BEATS, plugins=NERVOUS, max_connection_failures=1)

    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(events.append)
        await supervisor["fake"].wait_ready(20)

        for _ in range(2):
            time.sleep(1.0)  # noqa: ASYNC251 - twice the silence that counts as stalled
            await asyncio.sleep(0.2)

        assert supervisor["fake"].generation == 1

    assert complaints(events) == []


TICKS = "import time\nfor n in range(10**6): print(f'tick {n}', flush=True); time.sleep(0.01)"


async def test_five_seconds_of_a_blocked_loop_change_nothing_with_the_settings_as_they_are(
    world: Project,
) -> None:
    events: list[Event] = []
    fake = world.fake_table("--heartbeat", "0.3", "--password-from-env", plugins=five_plugins(sse_health={}))
    ticking = {"command": [sys.executable, "-c", TICKS], "port": False, "plugins": {"log-rotation": True}}

    async with supervising(world, world.configure(fake=fake, ticks=ticking), events) as supervisor:
        with anyio.fail_after(20):
            await supervisor.wait_ready()

        time.sleep(5.0)  # noqa: ASYNC251 - what a host may do
        assert world.logged("ticks.log").count("tick") > 200  # the output was read meanwhile
        await asyncio.sleep(0.5)
        assert [(server.state, server.generation) for server in supervisor.servers.values()] == [
            (State.RUNNING, 1),
            (State.RUNNING, 1),
        ]

    assert complaints(events) == []
    assert world.logged("ticks.log").splitlines() == [
        f"tick {number}" for number in range(world.logged("ticks.log").count("\n"))
    ]
    assert world.what_is_left() == NOTHING


@dataclass(eq=False)
class TakesAMoment:
    """Needs a moment in every hook, and tells when it has begun."""

    on_hook: Callable[[str], None]
    done: list[str] = field(default_factory=list)

    @hookimpl
    async def on_ready(self) -> None:
        await self._work("on_ready")

    @hookimpl
    async def on_shutdown(self) -> None:
        await self._work("on_shutdown")

    async def _work(self, hook: str) -> None:
        self.on_hook(hook)
        await asyncio.sleep(0.05)
        await asyncio.sleep(0.05)
        self.done.append(hook)


async def test_a_hook_is_not_blamed_for_the_time_in_which_the_host_blocked_the_loop(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostler.plugins.host._HOOK_SECONDS", 0.5)  # not 5 s, for a test's sake
    monkeypatch.setattr("hostler.plugins.host._SHUTDOWN_SECONDS", 0.5)
    events: list[Event] = []

    def block_soon(_: str) -> None:
        asyncio.get_running_loop().call_later(0.01, time.sleep, 1.5)

    plugin = TakesAMoment(block_soon)
    spec = make_spec(plugins=(announced(), PluginSpec("moment", instance=plugin)))

    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(events.append)
        await supervisor["fake"].wait_ready(20)
        await asyncio.sleep(0.2)

    assert plugin.done == ["on_ready", "on_shutdown"]
    assert complaints(events) == []


async def test_a_crash_while_the_host_blocks_the_loop_is_seen_as_soon_as_it_runs_again(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec(*BEATS, plugins=NERVOUS), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        os.kill(server.pid or 0, signal.SIGKILL)
        time.sleep(1.5)  # noqa: ASYNC251 - what a host may do
        began = time.monotonic()
        await server.until(lambda: server.state is State.CRASHED)
        assert time.monotonic() - began < 0.5
        await server.wait_ready(20)
        assert server.generation == 2


# -- clocks and sleep -----------------------------------------------------------------------------


@dataclass
class WallClock:
    """What a preloaded library makes of the wall clock of hostler; the monotonic one goes on as it is."""

    library: Path
    file: Path

    def is_wrong_by(self, seconds: int) -> None:
        unfinished = self.file.with_suffix(".new")
        unfinished.write_text(str(seconds))
        unfinished.rename(self.file)

    @property
    def variables(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "CLOCK_SHIFT": str(self.file)}


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    compiler = shutil.which("cc")

    if compiler is None or sys.platform != "linux":
        pytest.skip("the clock of one process alone is changed by a preloaded library, which cc makes")

    library = tmp_path / "wall_clock.so"
    source = Path(__file__).with_name("wall_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
    clock = WallClock(library, tmp_path / "shift")
    clock.is_wrong_by(0)
    return clock


@pytest.mark.parametrize("shift", [-3600, 400 * 24 * 3600])
def test_a_clock_that_is_set_changes_no_deadline_no_delay_and_no_duration(
    world: Project, wall_clock: WallClock, shift: int
) -> None:
    restart = {"initial_delay": "400ms", "max_delay": "400ms"}
    file = world.fake("--ignore-term", "--announce-delay", "0.3", restart=restart, force_kill_timeout="400ms")
    began = time.monotonic()
    running = world.hostler("run", file, "--json", **wall_clock.variables)
    running.event(event="state", state="waiting_ready")
    wall_clock.is_wrong_by(shift)
    ready = running.event(event="state", state="running", generation=1)
    assert abs(off_by(ready) - shift) < 60
    assert 0 < ready["seconds"] < 20

    wall_clock.is_wrong_by(0)
    os.kill(ready["pid"], signal.SIGKILL)
    assert 0 < running.event(event="exit")["uptime"] < 20
    running.event(event="state", state="backoff")
    wall_clock.is_wrong_by(shift)
    assert 0 < running.event(event="state", state="running", generation=2)["seconds"] < 20

    running.signal(signal.SIGTERM)
    running.event(event="state", state="stopping")
    wall_clock.is_wrong_by(2 * shift)
    stopping = time.monotonic()
    assert running.end() == 0
    assert 0.3 < time.monotonic() - stopping < 5
    assert running.event(event="exit")["signal"] == signal.SIGKILL
    assert time.monotonic() - began < 20
    assert world.what_is_left() == NOTHING


def off_by(event: dict[str, Any]) -> float:
    """By how many seconds the time of an event is wrong."""
    return (datetime.fromisoformat(event["time"]) - datetime.now(UTC)).total_seconds()


SLEEPY = {"sse-health": {"stall_timeout": "400ms", "reconnect": "20ms", "max_reconnect": "50ms"}}


def sleeps(pids: list[int], seconds: float) -> None:
    """What a laptop does to its processes, and a debugger or a full machine to one of them."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)

    time.sleep(seconds)

    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("with_its_server", [False, True])
def test_a_hostler_that_slept_finds_its_server_as_well_as_before(
    world: Project, with_its_server: bool
) -> None:
    plugins = {**five_plugins(), **SLEEPY}
    running = world.hostler("run", world.fake(*BEATS, plugins=plugins, max_connection_failures=1), "--json")
    server = running.event(event="state", state="running")["pid"]

    sleeps([running.process.pid, *([server] if with_its_server else [])], 1.5)
    time.sleep(0.3)

    assert running.stop(signal.SIGTERM) == 0
    assert {event["healthy"] for event in running.events if event["event"] == "health"} == {True}
    assert [event["generation"] for event in running.events if event.get("state") == "running"] == [1]
    assert world.what_is_left() == NOTHING


def test_a_hostler_that_slept_through_the_start_of_its_server_takes_it_as_started(world: Project) -> None:
    running = world.hostler("run", world.fake("--announce-delay", "1", startup_timeout="5s"), "--json")
    running.event(event="state", state="waiting_ready")
    sleeps([running.process.pid], 6.0)
    assert running.event(event="state", state="running")["generation"] == 1
    assert running.stop(signal.SIGTERM) == 0


def test_a_hostler_that_slept_through_the_end_of_its_server_does_not_kill_it(world: Project) -> None:
    running = world.hostler("run", world.fake("--term-delay", "0.3", force_kill_timeout="1s"), "--json")
    running.event(event="state", state="running")
    running.signal(signal.SIGTERM)
    running.event(event="state", state="stopping")
    time.sleep(0.1)
    sleeps([running.process.pid], 1.5)
    assert running.end() == 0
    assert running.event(event="exit")["signal"] == signal.SIGTERM
    assert world.what_is_left() == NOTHING
