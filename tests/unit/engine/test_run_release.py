"""What a launch holds is released once, however the run ends."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import pytest
from hostler import (
    Directories,
    ExitCause,
    Launch,
    PluginSpec,
    RestartPolicy,
    Server,
    ServerError,
    State,
    StateChanged,
    StreamName,
    Supervisor,
    hookimpl,
)
from hostler.process.disk.run_record import RunRecord
from hostler.supervisor.handle import engine_of
from specs import QUICK, MakeSpec, announced
from supervised_servers import reaches

NO_RETRY = replace(QUICK, start_retries=0)
SLOW = RestartPolicy(initial_delay=60.0, max_delay=60.0, start_retries=1)


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def with_plugin(plugin: object) -> tuple[PluginSpec, ...]:
    return (announced(), PluginSpec("odd", instance=plugin))


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
class KeepsSinks:
    """Gives each launch the sinks that it keeps itself."""

    sinks: Sequence[Bucket]

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        launch.sinks = self.sinks  # type: ignore[assignment]  # any sequence will do


@pytest.mark.parametrize("kind", [list, tuple])
async def test_sinks_that_a_plugin_keeps_are_used_in_each_run(
    kind: Callable[[list[Bucket]], Sequence[Bucket]], make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = KeepsSinks(kind([Bucket()]))
    async with Supervisor(make_spec(plugins=with_plugin(plugin)), directories=directories) as supervisor:
        await supervisor["fake"].wait_ready(20)
        await supervisor["fake"].restart()
    assert [sink.closed for sink in plugin.sinks] == [2]


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


async def test_a_process_that_cannot_be_put_on_record_is_ended_and_told_with_its_pid(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    pids: list[int] = []

    def refuse(_: object, __: object, record: RunRecord) -> None:
        pids.append(record.pid or 0)
        raise ServerError("the disk is full")

    monkeypatch.setattr("hostler.process.disk.run_record.RunStore.amend", refuse)  # after the spawn only

    async with Supervisor(make_spec(restart=NO_RETRY), directories=directories) as supervisor:
        await reaches(supervisor["fake"], State.FAILED)
        (crash,) = supervisor["fake"].crashes

    assert (crash.cause, crash.reason, crash.pid) == (ExitCause.SPAWN_FAILED, "the disk is full", pids[0])
    assert crash.killed
    assert files_in(directories.state) == []

    with pytest.raises(ProcessLookupError):
        os.kill(pids[0], 0)


async def test_a_run_that_crashed_is_freed_without_the_garbage_collector(
    make_spec: MakeSpec, directories: Directories
) -> None:
    """It holds the tails of its output: those of hundreds of servers would stay until a collection."""
    spec = make_spec(plugins=with_plugin(Holds(directories.state.parent / "temporary", _goes_on)))
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        held = _held_by(engine_of(server).run)
        gc.disable()
        try:
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            with anyio.fail_after(10):
                await server.until(lambda: server.generation == 2 and server.state is State.RUNNING)
            with anyio.move_on_after(10):
                while _left_of(held):  # noqa: ASYNC110 - the thread that reads lets go with its next line
                    await anyio.sleep(0.005)
            assert _left_of(held) == {}
        finally:
            gc.enable()


def _held_by(run: Any) -> dict[str, weakref.ref[object]]:
    values = {"run": run, "capture": run.capture, "sink": run.capture._writers[0]}
    return {name: weakref.ref(value) for name, value in values.items()}


def _left_of(held: dict[str, weakref.ref[object]]) -> dict[str, object]:
    return {name: value for name, kept in held.items() if (value := kept()) is not None}
