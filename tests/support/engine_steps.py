"""What may happen to servers: commands, children that do this and that, words of plugins, time."""

from __future__ import annotations

import asyncio
import itertools
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeAlias

import anyio
from engine_witness import Witness, left_on_disk
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


@dataclass(frozen=True)
class Nature:
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


GOOD = Nature()


@dataclass(eq=False)
class Held:
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
class Script:
    """The plugin of one server: it does what the steps say, and remembers what is held by launches."""

    watches_health: bool
    natures: Iterator[Nature]
    folder: Path
    held: list[Held] = field(default_factory=list)
    advice: Advice | None = None
    shutdown_seconds: float = 0.0
    news: list[Report | Exception] = field(default_factory=list)
    open_streams: int = 0
    failures_in_a_row: int = 0
    nature: Nature = GOOD
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        self.nature = next(self.natures)
        sink, first, last = (Held(what) for what in ("sink", "clean-up", "slow clean-up"))
        self.held += [sink, first, last]
        launch.sinks.append(sink)
        launch.defer(first.close)
        launch.defer(last.release_slowly)
        temporary = self.folder / f"{launch.server}-{launch.generation}"
        temporary.mkdir()
        launch.remove_at_end(temporary)

        match self.nature.prepare:
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
        while not self.news:
            self._changed.clear()
            await self._changed.wait()

        report = self.news.pop(0)

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
        self.news.append(report)
        self._changed.set()


@dataclass(eq=False)
class Scene:
    """A supervisor in a world of its own, one script and one witness for each server, open commands."""

    world: SimulatedHost
    supervisor: Supervisor
    directories: Directories
    scripts: list[Script]
    witnesses: list[Witness]
    commands: dict[asyncio.Task[None], Callable[[], None]] = field(default_factory=dict)
    broken: list[str] = field(default_factory=list)
    mortal: bool = False

    def server(self, index: int) -> Server:
        return self.witnesses[index % len(self.witnesses)].server

    def child(self, index: int) -> FakeChild | None:
        children = self.world.children_of(self.server(index).name)
        return children[-1] if children else None

    async def be_mortal(self) -> None:
        """From now on SIGKILL ends everything."""
        self.mortal = True

        for child in self.world.children:
            child.let_go()

        await settle()

    def want(self, server: Server, up: bool) -> None:
        witness = next(one for one in self.witnesses if one.server is server)
        witness.want(up)

        for other in server.needs.values() if up else ():
            self.want(other, up=True)

    def command(self, work: Coroutine[Any, Any, None], then: Callable[[], None] = lambda: None) -> None:
        """Give a command beside all others; `then` checks what it promised when it has returned."""
        self.commands[asyncio.ensure_future(work)] = then

    def look(self) -> list[str]:
        """What must not be, right now."""
        for task in [task for task in self.commands if task.done()]:
            then = self.commands.pop(task)
            error = task.exception()

            if error is None:
                then()
            elif not isinstance(error, ServerError):
                self.broken.append(f"a command raised {error!r}")

        for witness, script in zip(self.witnesses, self.scripts, strict=True):
            self._look_at(witness, script)

        busy = [one.server for one in self.witnesses if not one.server.idle()]
        files = left_on_disk(self.directories.state)
        locks = [name for name in files if name.endswith(".lock")]
        records = [name for name in files if not name.endswith(".lock")]
        runs = [server for server in busy if server.run is not None]

        if len(locks) > len(busy) or len(records) > len(runs):
            self.broken.append(f"{files} on disk with {len(busy)} servers up and {len(runs)} runs")

        return self.broken + [word for witness in self.witnesses for word in witness.broken]

    def _look_at(self, witness: Witness, script: Script) -> None:
        limit, failures = witness.server.spec.max_connection_failures, script.failures_in_a_row
        lost = witness.state is State.RUNNING and failures >= limit
        witness.require(not lost, f"runs after {failures} failures in a row")
        witness.require(witness.server.state is witness.state, f"its state is {witness.server.state.value}")


@dataclass(frozen=True)
class Start:
    server: int

    def do(self, scene: Scene) -> None:
        server = scene.server(self.server)
        scene.want(server, up=True)
        scene.command(server.start())


@dataclass(frozen=True)
class Stop:
    server: int
    force: bool = False

    def do(self, scene: Scene) -> None:
        server = scene.server(self.server)
        witness = scene.witnesses[self.server % len(scene.witnesses)]
        scene.want(server, up=False)

        def check() -> None:
            at_rest = witness.wanted or witness.server.state.at_rest
            witness.require(at_rest, "a stop has returned, and it is not at rest")

        scene.command(server.stop(force=self.force), check)


@dataclass(frozen=True)
class Restart:
    """Restarts a server; `back` names a run: this one (0), an older one (1 ...), or None for whichever."""

    server: int
    back: int | None = None

    def do(self, scene: Scene) -> None:
        server = scene.server(self.server)
        generation = None if self.back is None else server.generation - self.back

        if generation is None or generation == server.generation:
            scene.want(server, up=True)

        scene.command(server.restart(generation=generation))


@dataclass(frozen=True)
class ChildDoes:
    """The newest child of a server does something."""

    server: int
    what: str
    number: int = 0

    def do(self, scene: Scene) -> None:
        child = scene.child(self.server)

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
class Stranger:
    """Another program begins to listen where a server wants to, or all such programs end."""

    server: int
    comes: bool

    def do(self, scene: Scene) -> None:
        server = scene.server(self.server)
        port = server.spec.port or server.promised_port

        if not self.comes:
            scene.world.strangers.clear()
        elif port:
            scene.world.strangers.add(port)


@dataclass(frozen=True)
class Says:
    """The plugin of a server reports this, or fails with it."""

    server: int
    word: str

    def do(self, scene: Scene) -> None:
        words: dict[str, Report | Exception] = {
            "healthy": Healthy(),
            "unhealthy": Unhealthy("it does not answer"),
            "fatal": Unhealthy("out of memory", fatal=True),
            "permanent": Unhealthy("a broken configuration", permanent=True),
            "fault": ValueError("the plugin is broken"),
        }
        scene.scripts[self.server % len(scene.scripts)].report(words[self.word])


@dataclass(frozen=True)
class Advises:
    """From now on the plugin of a server advises this after a crash, and takes so long to shut down."""

    server: int
    action: Action | None
    shutdown_seconds: float = 0.0

    def do(self, scene: Scene) -> None:
        script = scene.scripts[self.server % len(scene.scripts)]
        script.advice = None if self.action is None else Advice(self.action)
        script.shutdown_seconds = self.shutdown_seconds


@dataclass(frozen=True)
class Passes:
    """Time goes by."""

    seconds: float

    def do(self, scene: Scene) -> None: ...


@dataclass(frozen=True)
class WaitReady:
    """Somebody waits until a server may be used."""

    server: int

    def do(self, scene: Scene) -> None:
        scene.command(scene.server(self.server).wait_ready(timeout=50))


Step: TypeAlias = Start | Stop | Restart | WaitReady | ChildDoes | Stranger | Says | Advises | Passes


async def take(step: Step, scene: Scene) -> None:
    """Take a step, let all that follows from it happen, and look."""
    step.do(scene)
    await settle()

    if isinstance(step, Passes):
        await anyio.sleep(step.seconds)
        await settle()

    broken = scene.look()
    assert not broken, "\n".join(broken)


def set_the_scene(
    specs: list[ServerSpec], natures: list[list[Nature]], health: list[bool], folder: Path
) -> Scene:
    """A world with one scripted server for each spec; natures are for one run after the other."""
    world = SimulatedHost()
    temporary = folder / "cache" / "temporary"  # only what is in a directory of its own is removed
    temporary.mkdir(parents=True, mode=0o700)
    scripts = [
        Script(watches, itertools.chain(given, itertools.repeat(GOOD)), temporary)
        for given, watches in zip(natures, health, strict=True)
    ]
    directories = Directories(folder / "state", folder / "data", folder / "cache")
    supervisor = world.supervisor(
        [_with_plugin(spec, script) for spec, script in zip(specs, scripts, strict=True)],
        directories=directories,
        environ={"PATH": "/usr/bin:/bin"},
    )
    witnesses = [Witness(world, supervisor[spec.name]) for spec in specs]
    scene = Scene(world, supervisor, directories, scripts, witnesses)

    for witness in witnesses:
        supervisor.listen(witness.hear)

    world.on_spawn = lambda launch: _refuse(scene, launch)
    world.on_child = lambda child: _behave(scene, child)
    return scene


def _with_plugin(spec: ServerSpec, script: Script) -> ServerSpec:
    return replace(spec, plugins=(PluginSpec("script", instance=script),))


def _script(scene: Scene, launch: Launch) -> Script:
    names = [witness.server.name for witness in scene.witnesses]
    return scene.scripts[names.index(launch.server)]


def _refuse(scene: Scene, launch: Launch) -> None:
    living = [pid for child in scene.world.children_of(launch.server) for pid in child.members]

    if living:
        scene.broken.append(f"{launch.server} is spawned while {living} of a former run live")

    kind = _script(scene, launch).nature.spawn

    if kind != "works":
        raise ProcessSpawnFailed("refused", permanent=kind == "permanent")


def _behave(scene: Scene, child: FakeChild) -> None:
    nature = _script(scene, child.launch).nature
    child.ends_after = nature.ends_after
    child.immortal = nature.immortal and not scene.mortal

    for _ in range(nature.helpers):
        child.fork()

    if nature.stranger and not scene.mortal and child.launch.port is not None:
        scene.world.strangers.add(child.launch.port)

    if nature.announces:
        child.announce()

    if nature.listens:
        child.listen()

    if nature.ends_with is not None:
        asyncio.get_running_loop().call_later(nature.lives, child.exit, nature.ends_with)
