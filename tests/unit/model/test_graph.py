"""Random graphs of servers and tasks that need each other, in virtual time: what must hold in all of them.

The children are simulated, as in test_lifecycle_properties.py. What is known here of conditions, order and
essential servers is taken from the documentation, and kept up from the events alone.
"""

from __future__ import annotations

import asyncio
import itertools
import shutil
import tempfile
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
from hostler import (
    Condition,
    Directories,
    Event,
    Exited,
    Kind,
    Launch,
    Need,
    OnRestart,
    PluginSpec,
    RestartMode,
    RestartPolicy,
    Server,
    ServerError,
    ServerSpec,
    Spawned,
    State,
    StateChanged,
    Supervisor,
    hookimpl,
)
from hostler.engine.server import SupervisedServer
from hostler.testing import FakeChild, SimulatedHost, run_virtually, settle
from hypothesis import given
from hypothesis import strategies as st
from lifecycle_invariants import left_on_disk

MEMORY = Path("/dev/shm")  # a disk would take more time than all the rest
UP = {State.WAITING_READY, State.RUNNING}


@dataclass(frozen=True)
class Nature:
    """What one run is like, in seconds: its preparation, until it listens, until it ends and how."""

    prepares: float = 0.0
    ready_after: float = 0.0
    lives: float | None = None
    code: int = 0
    ends_after: float = 0.0


@dataclass(frozen=True)
class Step:
    """A command or an accident, to one server or (stop, start) to all; then some time passes."""

    what: str
    server: int
    passes: float


natures = st.builds(
    Nature,
    prepares=st.sampled_from([0.0, 0.0, 0.3, 2.0]),
    ready_after=st.sampled_from([0.0, 0.0, 0.5, 99.0]),
    lives=st.sampled_from([None, None, 0.0, 0.2, 3.0]),
    code=st.sampled_from([0, 0, 1, 7]),
    ends_after=st.sampled_from([0.0, 0.7]),
)
steps = st.builds(
    Step,
    st.sampled_from(["pass", "kill", "kill", "restart", "stop", "start", "force", "stop all", "start all"]),
    st.integers(0, 4),
    st.sampled_from([0.0, 0.001, 0.25, 1.0, 6.0, 40.0]),
)


@st.composite
def graphs(draw: st.DrawFn) -> list[ServerSpec]:
    """Up to five servers; each may need any of those before it."""
    specs: list[ServerSpec] = []

    for number in range(draw(st.integers(2, 5))):
        needs = [draw(_needs(other)) for other in specs if draw(st.booleans())]
        task = draw(st.integers(0, 2)) == 0
        specs.append(
            ServerSpec(
                name=f"s{number}",
                kind=Kind.TASK if task else Kind.SERVER,
                command=("simulated",),
                cwd=Path("/"),
                port=draw(st.sampled_from([0, 0, None])),
                needs=tuple(needs),
                essential=draw(st.integers(0, 5)) == 0,
                autostart=draw(st.integers(0, 3)) > 0,
                startup_timeout=5.0,
                task_timeout=draw(st.sampled_from([0.0, 2.0])) if task else 0.0,
                force_kill_timeout=1.0,
                restart=draw(_policies(task)),
                memory_interval=0.0,
            )
        )

    return specs


def _needs(other: ServerSpec) -> st.SearchStrategy[Need]:
    conditions = [one for one in Condition if one is not Condition.COMPLETED or other.kind is Kind.TASK]
    return st.builds(Need, st.just(other.name), st.sampled_from(conditions), st.sampled_from(OnRestart))


def _policies(task: bool) -> st.SearchStrategy[RestartPolicy]:
    return st.builds(
        RestartPolicy,
        policy=st.sampled_from([one for one in RestartMode if one is not RestartMode.ALWAYS or not task]),
        max_restarts=st.integers(0, 2),
        initial_delay=st.sampled_from([0.0, 0.5]),
        stable_after=st.sampled_from([2.0, 10.0]),
        start_retries=st.integers(0, 1),
    )


@dataclass(eq=False)
class Prepares:
    """Takes as long to prepare a start as the nature of the run says."""

    natures: Iterator[Nature]
    nature: Nature = field(default_factory=Nature)

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        self.nature = next(self.natures)
        await anyio.sleep(self.nature.prepares)


@dataclass(eq=False)
class Watcher:
    """Knows of every server what the events told, and holds them to the rules."""

    world: SimulatedHost
    supervisor: Supervisor
    violations: list[str] = field(default_factory=list)
    states: dict[str, State] = field(default_factory=dict)
    completed: set[str] = field(default_factory=set)
    stopping_all: bool = False
    forced: bool = False

    def observe(self, event: Event) -> None:
        match event:
            case StateChanged():
                self._moved(event)
            case Spawned():
                self._spawned(self.supervisor[event.server])
            case Exited():
                self._exited(event)
            case _:
                pass

    def living(self, name: str) -> bool:
        return any(child.members for child in self.world.children_of(name))

    def _require(self, holds: bool, rule: str) -> None:
        if not holds:
            self.violations.append(rule)

    def _moved(self, event: StateChanged) -> None:
        name = event.server
        self.states[name] = event.state
        self._require("hostler itself failed" not in event.reason, event.reason)

        if event.state is State.STARTING:
            self.completed.discard(name)
        elif event.state is State.STOPPED and event.reason == "completed":
            self.completed.add(name)
            self._require(self.supervisor[name].spec.kind is Kind.TASK, f"{name} is no task and completes")
            self._require(not self.living(name), f"{name} has completed and something of it lives")

        if event.state is State.STOPPING and self.stopping_all and not self.forced:
            alive = [other for other in self._dependents(name) if self.living(other)]
            self._require(not alive, f"{name} is stopped before {alive}")

    def _dependents(self, name: str, *choices: OnRestart) -> list[str]:
        return [
            server.name
            for server in self.supervisor.servers.values()
            for need in server.spec.needed
            if need.server == name and need.on_restart in (choices or tuple(OnRestart))
        ]

    def _spawned(self, server: Server) -> None:
        for need in server.spec.needed:
            state, done = self.states.get(need.server), need.server in self.completed
            holds = {
                Condition.STARTED: done or state in UP,
                Condition.READY: done or state is State.RUNNING,
                Condition.COMPLETED: done,
            }[need.condition]
            self._require(holds, f"{server.name} is spawned while {need} and {state}, completed: {done}")

    def _exited(self, event: Exited) -> None:
        """What was stopped by command is stopped after those that stop with it."""
        if event.exit.cause.value == "stopped" and not self.forced:
            alive = [other for other in self._dependents(event.server, OnRestart.STOP) if self.living(other)]
            self._require(not alive, f"{event.server} was stopped before {alive}, which stop with it")


@given(
    graphs(),
    st.lists(st.lists(natures, max_size=4), min_size=5, max_size=5),
    st.lists(steps, min_size=2, max_size=25),
)
def test_conditions_hold_at_each_spawn_and_ends_come_in_order(
    specs: list[ServerSpec], natures: list[list[Nature]], steps: list[Step]
) -> None:
    folder = Path(tempfile.mkdtemp(dir=MEMORY if MEMORY.exists() else None))
    try:
        run_virtually(lambda: live(specs, natures, steps, folder))
        assert left_on_disk(folder / "state") == []
    finally:
        shutil.rmtree(folder)


async def live(specs: list[ServerSpec], natures: list[list[Nature]], steps: list[Step], folder: Path) -> None:
    """From the first step to the end, with a look at everything after each step."""
    world = SimulatedHost()
    slower = (Nature(ends_after=0.2 * number) for number in range(5))  # than those that it needs
    plugins = [
        Prepares(itertools.chain(own, itertools.repeat(last)))
        for own, last in zip(natures, slower, strict=True)
    ]
    directories = Directories(folder / "state", folder / "data", folder / "cache")
    specs = [
        replace(spec, plugins=(PluginSpec("prepares", instance=plugin),))
        for spec, plugin in zip(specs, plugins, strict=False)
    ]
    supervisor = world.supervisor(specs, directories=directories, environ={"PATH": "/bin"})
    watcher = Watcher(world, supervisor)
    supervisor.listen(watcher.observe)
    by_name = {spec.name: plugin for spec, plugin in zip(specs, plugins, strict=False)}
    world.on_child = lambda child: behave(child, by_name[child.launch.server].nature)
    commands: set[asyncio.Task[None]] = set()

    async with supervisor:
        for step in steps:
            if supervisor.ended_by is not None:
                break
            await take(step, watcher, commands)
            assert not watcher.violations, watcher.violations
        await over(watcher, commands)
        watcher.stopping_all, watcher.forced = True, False

    assert not watcher.violations, watcher.violations
    assert [child for child in world.children if child.members] == []
    assert {server.state for server in supervisor.servers.values()} <= {State.STOPPED, State.FAILED}
    await asyncio.wait(commands, timeout=1) if commands else None
    assert all(task.done() for task in commands), "a command waits for ever"
    assert asyncio.all_tasks() == {asyncio.current_task()}


def behave(child: FakeChild, nature: Nature) -> None:
    loop = asyncio.get_running_loop()
    child.ends_after = nature.ends_after
    child.fork()
    if child.launch.port is not None:
        loop.call_later(nature.ready_after, child.listen)
    if nature.lives is not None:
        loop.call_later(nature.lives, child.exit, nature.code)


async def take(step: Step, watcher: Watcher, commands: set[asyncio.Task[None]]) -> None:
    supervisor = watcher.supervisor
    server = list(supervisor.servers.values())[step.server % len(supervisor)]
    watcher.forced = step.what == "force"  # until the next step: then all that was forced is gone
    works: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
        "restart": server.restart,
        "stop": server.stop,
        "start": server.start,
        "force": server.force_stop,
        "stop all": supervisor.stop,
        "start all": supervisor.start,
    }
    if step.what in works:
        task = asyncio.ensure_future(works[step.what]())
        task.add_done_callback(lambda done: done.cancelled() or done.exception())
        commands.add(task)
    elif step.what == "kill" and (children := watcher.world.children_of(server.name)):
        children[-1].die()

    await settle()

    if step.passes or watcher.forced:
        await anyio.sleep(max(step.passes, 10.0 * watcher.forced))
        await settle()


def waits(server: SupervisedServer) -> bool:
    """Whether it waits for a task that goes on, or for a server that does so."""
    busy = [other for other in server.needs.values() if not other.is_settled()]
    return server.state is State.STARTING and any(
        other.spec.kind is Kind.TASK or waits(other) for other in busy
    )


async def over(watcher: Watcher, commands: set[asyncio.Task[None]]) -> None:
    """An essential server that ended has ended all; else, in time, everything rests or runs."""
    supervisor = watcher.supervisor
    if supervisor.ended_by is None:
        await anyio.sleep(300)

    if supervisor.ended_by is not None:
        ended = supervisor[supervisor.ended_by.server]
        assert ended.spec.essential
        with anyio.fail_after(100):
            await supervisor.wait()
        if not supervisor.ended_by.code:
            assert ended.state is State.STOPPED

    else:
        for server in supervisor.servers.values():
            essential_and_over = server.spec.essential and server.state is State.FAILED
            assert not essential_and_over, f"{server.name} has failed, and the run goes on"
            settled = server.is_settled() or server.state is State.RUNNING or waits(server._engine)
            assert settled, f"{server.name} is {server.state.value}"

    for task in commands:
        if task.done() and (error := task.exception()) is not None:
            assert isinstance(error, ServerError)
