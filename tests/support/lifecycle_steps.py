"""What may happen to servers: commands, children that end or hang, reports of plugins, time."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import anyio
from hostler import (
    Action,
    Advice,
    Directories,
    Endpoint,
    Exit,
    Healthy,
    Launch,
    PluginSpec,
    ProcessSpawnFailed,
    Report,
    Server,
    ServerError,
    ServerSpec,
    State,
    StreamName,
    Supervisor,
    Unhealthy,
    hookimpl,
)
from hostler.testing import FakeChild, SimulatedHost, settle
from lifecycle_invariants import InvariantChecker, left_on_disk, unended_on_disk


@dataclass(frozen=True)
class RunBehavior:
    """What one run is like: how its launch is prepared, and what its child does by itself."""

    prepare: str = "at once"  # "slow", "fails", "hangs"
    spawn: str = "works"  # "temporary", "permanent"
    announces: bool = True
    listens: bool = True
    ends_with: int | None = None
    lives: float = 0.0
    ends_after: float = 0.0
    helpers: int = 0
    immortal: bool = False
    stranger: bool = False


GOOD = RunBehavior()


@dataclass(eq=False)
class LaunchResource:
    """Something that a launch holds, and how often it was released."""

    what: str
    released: int = 0

    def write(self, stream: StreamName, data: bytes) -> None: ...

    def close(self) -> None:
        self.released += 1

    async def release_slowly(self) -> None:
        await anyio.sleep(0.1)
        self.released += 1


@dataclass(eq=False)
class ScriptedPlugin:
    """The plugin of one server: it does what the steps say, and remembers what is held by launches."""

    watches_health: bool
    behaviors: Iterator[RunBehavior]
    folder: Path
    held: list[LaunchResource] = field(default_factory=list)
    advice: Advice | None = None
    shutdown_seconds: float = 0.0
    pending: list[Report | Exception] = field(default_factory=list)
    open_streams: int = 0
    failures_in_a_row: int = 0
    behavior: RunBehavior = GOOD
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        self.behavior = next(self.behaviors)
        sink, first, last = (LaunchResource(what) for what in ("sink", "clean-up", "slow clean-up"))
        self.held += [sink, first, last]
        launch.sinks.append(sink)
        launch.defer(first.close)
        launch.defer(last.release_slowly)
        temporary = self.folder / f"{launch.server}-{launch.generation}"
        temporary.mkdir()
        launch.remove_at_end(temporary)

        match self.behavior.prepare:
            case "slow":
                await anyio.sleep(2)
            case "hangs":
                await anyio.sleep_forever()
            case "fails":
                raise ValueError("as the test wants it")

    @hookimpl
    def parse_port(self, line: str) -> Endpoint | None:
        _, found, port = line.partition("http://127.0.0.1:")
        return Endpoint("127.0.0.1", int(port)) if found else None

    @hookimpl
    async def health_check(self) -> AsyncIterator[Report]:
        self.open_streams += 1
        self.failures_in_a_row = 0

        try:
            yield Healthy()  # most runs get ready
            while self.watches_health:
                report = await self._next()
                self.failures_in_a_row = self.failures_in_a_row + 1 if isinstance(report, Unhealthy) else 0
                yield report
        finally:
            self.open_streams -= 1

    async def _next(self) -> Report:
        while not self.pending:
            self._changed.clear()
            await self._changed.wait()
        report = self.pending.pop(0)
        if isinstance(report, Exception):
            raise report
        return report

    @hookimpl
    async def on_crash(self, exit: Exit) -> Advice | None:
        await anyio.sleep(0.01)
        return self.advice

    @hookimpl
    async def on_shutdown(self) -> None:
        await anyio.sleep(self.shutdown_seconds)

    def report(self, report: Report | Exception) -> None:
        self.pending.append(report)
        self._changed.set()


@dataclass(eq=False)
class Simulation:
    """A supervisor in a world of its own, one script and one checker for each server, open commands."""

    world: SimulatedHost
    supervisor: Supervisor
    directories: Directories
    scripts: list[ScriptedPlugin]
    checkers: list[InvariantChecker]
    commands: dict[asyncio.Task[None], Callable[[], None]] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)
    mortal: bool = False

    def server(self, index: int) -> Server:
        return self.checkers[index % len(self.checkers)].server

    def child(self, index: int) -> FakeChild | None:
        children = self.world.children_of(self.server(index).name)
        return children[-1] if children else None

    async def let_children_die(self) -> None:
        """From now on SIGKILL ends everything."""
        self.mortal = True
        for child in self.world.children:
            child.let_go()
        await settle()

    def desire(self, server: Server, up: bool) -> None:
        checker = next(one for one in self.checkers if one.server is server)
        checker.desire(up)
        for other in server._engine.needs.values() if up else ():
            self.desire(server._handle_of(other), up=True)

    def command(self, work: Coroutine[Any, Any, None], then: Callable[[], None] = lambda: None) -> None:
        """Give a command beside all others; `then` checks what it promised when it has returned."""
        self.commands[asyncio.ensure_future(work)] = then

    def find_violations(self) -> list[str]:
        """What must not be, right now."""
        for task in [task for task in self.commands if task.done()]:
            then = self.commands.pop(task)
            error = task.exception()
            if error is None:
                then()
            elif not isinstance(error, ServerError):
                self.violations.append(f"a command raised {error!r}")

        for checker, script in zip(self.checkers, self.scripts, strict=True):
            self._check_server(checker, script)

        busy = [one.server for one in self.checkers if not one.server.is_settled()]
        files = left_on_disk(self.directories.state)
        locks = [name for name in files if name.endswith(".lock")]
        records = [name for name in files if not name.endswith(".lock")]
        runs = [server for server in busy if server._engine.run is not None]
        unended = unended_on_disk(self.directories.state)
        if max(len(locks), len(records)) > len(busy) or len(unended) > len(runs):
            self.violations.append(f"{files} on disk with {len(busy)} servers up and {len(runs)} runs")

        return self.violations + [one for checker in self.checkers for one in checker.violations]

    def _check_server(self, checker: InvariantChecker, script: ScriptedPlugin) -> None:
        limit, failures = checker.server.spec.max_connection_failures, script.failures_in_a_row
        lost = checker.state is State.RUNNING and failures >= limit
        checker.require(not lost, f"runs after {failures} failures in a row")
        checker.require(checker.server.state is checker.state, f"its state is {checker.server.state.value}")


@dataclass(frozen=True)
class Start:
    server: int

    def do(self, simulation: Simulation) -> None:
        server = simulation.server(self.server)
        simulation.desire(server, up=True)
        simulation.command(server.start())


@dataclass(frozen=True)
class Stop:
    server: int
    force: bool = False

    def do(self, simulation: Simulation) -> None:
        server = simulation.server(self.server)
        checker = simulation.checkers[self.server % len(simulation.checkers)]
        simulation.desire(server, up=False)

        def check() -> None:
            at_rest = checker.wanted or checker.server.state.at_rest
            checker.require(at_rest, "a stop has returned, and it is not at rest")

        simulation.command(server.stop(force=self.force), check)


@dataclass(frozen=True)
class Restart:
    """Restarts a server; `back` names a run: this one (0), an older one (1 ...), or None for whichever."""

    server: int
    back: int | None = None

    def do(self, simulation: Simulation) -> None:
        server = simulation.server(self.server)
        generation = None if self.back is None else server.generation - self.back
        if generation is None or generation == server.generation:
            simulation.desire(server, up=True)
        simulation.command(server.restart(generation=generation))


@dataclass(frozen=True)
class ChildDoes:
    """The newest child of a server does something."""

    server: int
    what: str
    number: int = 0

    def do(self, simulation: Simulation) -> None:
        child = simulation.child(self.server)
        if child is None:
            return

        match self.what:
            case "exit":
                child.exit(self.number)
            case "die":
                child.die(signal.SIGSEGV)
            case "announce":
                child.announce()
            case "listen":
                child.listen()
            case "listen with a worker":
                child.listen(pid=child.fork())
            case "let go":
                child.let_go()


@dataclass(frozen=True)
class ForeignListener:
    """Another program begins to listen where a server wants to, or all such programs end."""

    server: int
    comes: bool

    def do(self, simulation: Simulation) -> None:
        server = simulation.server(self.server)
        port = server.spec.port or server._engine.status.promised_port
        if not self.comes:
            simulation.world.strangers.clear()
        elif port:
            simulation.world.strangers.add(port)


@dataclass(frozen=True)
class Reports:
    """The plugin of a server reports this, or fails with it."""

    server: int
    outcome: str

    def do(self, simulation: Simulation) -> None:
        outcomes: dict[str, Report | Exception] = {
            "healthy": Healthy(),
            "unhealthy": Unhealthy("it does not answer"),
            "fatal": Unhealthy("out of memory", fatal=True),
            "permanent": Unhealthy("a broken configuration", permanent=True),
            "fault": ValueError("the plugin is broken"),
        }
        simulation.scripts[self.server % len(simulation.scripts)].report(outcomes[self.outcome])


@dataclass(frozen=True)
class Advises:
    """From now on the plugin of a server advises this after a crash, and takes so long to shut down."""

    server: int
    action: Action | None
    shutdown_seconds: float = 0.0

    def do(self, simulation: Simulation) -> None:
        script = simulation.scripts[self.server % len(simulation.scripts)]
        script.advice = None if self.action is None else Advice(self.action)
        script.shutdown_seconds = self.shutdown_seconds


@dataclass(frozen=True)
class TimePasses:
    """Time goes by."""

    seconds: float

    def do(self, simulation: Simulation) -> None: ...


@dataclass(frozen=True)
class WaitReady:
    """Somebody waits until a server may be used."""

    server: int

    def do(self, simulation: Simulation) -> None:
        simulation.command(simulation.server(self.server).wait_ready(timeout=50))


Step: TypeAlias = (
    Start | Stop | Restart | WaitReady | ChildDoes | ForeignListener | Reports | Advises | TimePasses
)


async def run_step(step: Step, simulation: Simulation) -> None:
    """Take a step, let all that follows from it happen, and look for violations."""
    step.do(simulation)
    await settle()
    if isinstance(step, TimePasses):
        await anyio.sleep(step.seconds)
        await settle()
    violations = simulation.find_violations()
    assert not violations, "\n".join(violations)


def build_simulation(
    specs: list[ServerSpec], behaviors: list[list[RunBehavior]], health: list[bool], folder: Path
) -> Simulation:
    """A world with one scripted server for each spec; behaviors are for one run after the other."""
    world = SimulatedHost()
    temporary = folder / "cache" / "temporary"  # only what is in a directory of its own is removed
    temporary.mkdir(parents=True, mode=0o700)
    scripts = [
        ScriptedPlugin(watches, itertools.chain(given, itertools.repeat(GOOD)), temporary)
        for given, watches in zip(behaviors, health, strict=True)
    ]
    directories = Directories(folder / "state", folder / "data", folder / "cache")
    supervisor = world.supervisor(
        [_with_plugin(spec, script) for spec, script in zip(specs, scripts, strict=True)],
        directories=directories,
        environ={"PATH": "/usr/bin:/bin"},
    )
    checkers = [InvariantChecker(world, supervisor[spec.name]) for spec in specs]
    simulation = Simulation(world, supervisor, directories, scripts, checkers)

    for checker in checkers:
        supervisor.listen(checker.observe)

    world.on_spawn = lambda launch: _check_spawn(simulation, launch)
    world.on_child = lambda child: _start_child(simulation, child)
    return simulation


def _with_plugin(spec: ServerSpec, script: ScriptedPlugin) -> ServerSpec:
    return replace(spec, plugins=(PluginSpec("script", instance=script),))


def _script(simulation: Simulation, launch: Launch) -> ScriptedPlugin:
    names = [checker.server.name for checker in simulation.checkers]
    return simulation.scripts[names.index(launch.server)]


def _check_spawn(simulation: Simulation, launch: Launch) -> None:
    living = [pid for child in simulation.world.children_of(launch.server) for pid in child.members]
    if living:
        simulation.violations.append(f"{launch.server} is spawned while {living} of a former run live")
    kind = _script(simulation, launch).behavior.spawn
    if kind != "works":
        raise ProcessSpawnFailed("refused", permanent=kind == "permanent")


def _start_child(simulation: Simulation, child: FakeChild) -> None:
    behavior = _script(simulation, child.launch).behavior
    child.ends_after = behavior.ends_after
    child.immortal = behavior.immortal and not simulation.mortal

    for _ in range(behavior.helpers):
        child.fork()

    if behavior.stranger and not simulation.mortal and child.launch.port is not None:
        simulation.world.strangers.add(child.launch.port)

    if behavior.announces:
        child.announce()

    if behavior.listens:
        child.listen()

    if behavior.ends_with is not None:
        asyncio.get_running_loop().call_later(behavior.lives, child.exit, behavior.ends_with)
