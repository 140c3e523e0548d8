"""What hosts the servers: cancelled at any moment, ended in any way, and nothing of them is left."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import psutil
import pytest
from children import has_children, lives
from hostler import (
    Directories,
    Event,
    Launch,
    Notice,
    PluginSpec,
    ServerSpec,
    State,
    StateChanged,
    Supervisor,
    hookimpl,
)
from specs import MakeSpec, announced


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def all_ready(supervisor: Supervisor) -> None:
    with anyio.fail_after(20):
        await supervisor.wait_ready()


async def test_no_thread_and_no_descriptor_is_left(make_spec: MakeSpec, directories: Directories) -> None:
    def held() -> tuple[set[threading.Thread], list[str]]:
        gc.collect()
        return set(threading.enumerate()), sorted(path.name for path in Path("/proc/self/fd").iterdir())

    before = held()

    for _ in range(3):
        async with Supervisor(
            [make_spec(name=name) for name in "abc"], directories=directories
        ) as supervisor:
            await all_ready(supervisor)
            await supervisor["a"].restart()

    assert held() == before


async def test_an_error_in_the_body_stops_everything_and_comes_out_as_it_is(
    make_spec: MakeSpec, directories: Directories
) -> None:
    with pytest.raises(ZeroDivisionError):  # noqa: PT012 - the clean-up is part of it
        async with Supervisor(make_spec(), directories=directories) as supervisor:
            await all_ready(supervisor)
            raise ZeroDivisionError
    assert supervisor["fake"].state is State.STOPPED
    assert files_in(directories.state) == []


def test_sys_exit_in_the_body_stops_everything(make_spec: MakeSpec, directories: Directories) -> None:
    async def live() -> None:
        async with Supervisor(make_spec(), directories=directories) as supervisor:
            await all_ready(supervisor)
            raise SystemExit(3)

    with pytest.raises(SystemExit):
        asyncio.run(live())
    assert files_in(directories.state) == []


async def test_a_cancel_scope_around_it_waits_for_the_clean_up(
    make_spec: MakeSpec, directories: Directories
) -> None:
    with anyio.move_on_after(0.3) as scope:
        async with Supervisor(make_spec("--term-delay", "0.5"), directories=directories) as supervisor:
            await anyio.sleep_forever()
    assert scope.cancelled_caught
    assert supervisor["fake"].state is State.STOPPED


@dataclass(eq=False)
class Slow:
    """Tells when each hook begins, takes its time, and leaves something to clean up."""

    folder: Path
    on_hook: Callable[[str], None]
    left: list[str] = field(init=False, default_factory=list)

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        self.left.append("deferred")
        launch.defer(self.left.clear)
        self.folder.mkdir(exist_ok=True)
        launch.remove_at_end(self.folder)
        await self._at("pre_spawn")

    @hookimpl
    async def on_ready(self) -> None:
        await self._at("on_ready")

    @hookimpl
    async def on_shutdown(self) -> None:
        await self._at("on_shutdown")

    async def _at(self, hook: str) -> None:
        self.on_hook(hook)
        await asyncio.sleep(0.02)


POINTS = [
    "pre_spawn",
    "starting",
    "waiting_ready",
    "on_ready",
    "running",
    "stopping",
    "on_shutdown",
    "stopped",
]


@pytest.mark.parametrize("times", [1, 2, 5])
@pytest.mark.parametrize("point", POINTS)
async def test_a_host_cancelled_at_any_point_leaves_nothing(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path, point: str, times: int
) -> None:
    plugin = Slow(tmp_path / "temporary", lambda hook: reached.set() if hook == point else None)
    plugins = (announced(), PluginSpec("slow", instance=plugin))
    reached = asyncio.Event()
    supervisor = Supervisor(make_spec("--term-delay", "0.05", plugins=plugins), directories=directories)

    def watch(event: Event) -> None:
        if isinstance(event, StateChanged) and event.state.value == point:
            reached.set()

    async def host() -> None:
        async with supervisor:
            supervisor.listen(watch)
            await supervisor["fake"].wait_ready()
            await asyncio.sleep(0.05)

    task = asyncio.create_task(host())
    await asyncio.wait_for(reached.wait(), 10)

    for _ in range(times):
        task.cancel()
        await asyncio.sleep(0.005)

    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 10)

    assert supervisor["fake"].state is State.STOPPED
    assert (files_in(directories.state), plugin.left, plugin.folder.exists()) == ([], [], False)


class CountingLoop(asyncio.SelectorEventLoop):
    """Calls a function after some of its turns: cancels at every await, wherever that may be."""

    turns = 0
    at: tuple[int, ...] = ()
    call: Callable[[], object] = staticmethod(lambda: None)

    def _run_once(self) -> None:
        super()._run_once()  # type: ignore[misc]
        self.turns += 1
        if self.turns in self.at:
            self.call()


def run_and_cancel_at(
    turns: tuple[int, ...], spec: ServerSpec, directories: Directories, *, everything: bool = False
) -> int:
    """Host a server for a moment and cancel after so many turns of the loop; how many turns it took."""

    async def live() -> None:
        async with Supervisor(spec, directories=directories) as supervisor:
            await supervisor["fake"].wait_ready(10)

    with asyncio.Runner(loop_factory=CountingLoop) as runner:
        loop = runner.get_loop()
        assert isinstance(loop, CountingLoop)
        loop.at = turns
        task = loop.create_task(live())
        loop.call = lambda: [one.cancel() for one in (asyncio.all_tasks(loop) if everything else [task])]
        with suppress(asyncio.CancelledError):
            loop.run_until_complete(asyncio.wait_for(asyncio.shield(task), 20))
        return loop.turns


def check_turns(
    first: int, spec: ServerSpec, directories: Directories, at: Callable[[int], tuple[int, ...]], **how: bool
) -> None:
    """Cancel at every third turn from the first; at each one with HYPOTHESIS_PROFILE=many."""
    turns = run_and_cancel_at((), spec, directories)
    assert turns > 15
    every = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "many" else 3
    gc.freeze()  # what there was before is not looked through again after each turn

    try:
        for turn in range(min(first, every), turns, every):
            run_and_cancel_at(at(turn), spec, directories, **how)
            gc.collect()  # here, and not inside of a named tuple, where no warning can be told
            found = psutil.Process().children(recursive=True) if has_children() else []
            left = [process for process in found if process.status() != psutil.STATUS_ZOMBIE]
            assert (left, files_in(directories.state)) == ([], []), f"after turn {turn} of {turns}"
        gc.collect()  # whatever complains does it here
    finally:
        gc.unfreeze()


def test_a_host_cancelled_at_any_turn_of_the_loop_leaves_nothing(
    make_spec: MakeSpec, directories: Directories
) -> None:
    check_turns(1, make_spec("--spawn-session-child"), directories, lambda turn: (turn,))


def test_a_host_cancelled_again_in_the_next_turns_leaves_nothing(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec("--spawn-session-child")
    check_turns(2, spec, directories, lambda turn: (turn, turn + 1, turn + 3))


# anyio has made the coroutines of tasks that were cancelled before their first step.
@pytest.mark.filterwarnings("ignore:coroutine .* was never awaited:RuntimeWarning")
def test_every_task_cancelled_at_any_turn_as_asyncio_does_at_its_end_leaves_nothing(
    make_spec: MakeSpec, directories: Directories
) -> None:
    check_turns(3, make_spec("--spawn-session-child"), directories, lambda turn: (turn,), everything=True)


# -- programs that end ---------------------------------------------------------------------------

PROGRAM = str(Path(__file__).parents[1] / "support" / "host_program.py")


@contextmanager
def program(ending: str, folder: Path, *switches: str) -> Iterator[tuple[subprocess.Popen[str], int]]:
    """A program that hosts a fake server until it ends in its way; and the pid of that server."""
    argv = [sys.executable, "-W", "error", PROGRAM, ending, str(folder), *switches]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as host:
        try:
            assert host.stdout is not None
            word, _, pid = host.stdout.readline().partition(" ")
            assert word == "ready", host.communicate(timeout=10)
            yield host, int(pid)
        finally:
            host.kill()


def wait_gone(pids: list[int]) -> None:
    """Wait until none of these lives; a zombie is reaped by init when it likes."""
    until = time.monotonic() + 10
    while left := [pid for pid in pids if lives(pid)]:
        assert time.monotonic() < until, f"still alive: {left}"
        time.sleep(0.01)


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("never-left", 0),
        ("task-exits", 3),
        ("serve-exit", 3),
        ("serve-never-left", 0),
        ("serve-held", 0),
        ("thread-exit", 3),
        ("thread-raise", 1),
    ],
)
def test_a_program_that_ends_without_clean_up_leaves_no_process_and_no_record(
    tmp_path: Path, marked: Callable[[str], list[int]], ending: str, code: int
) -> None:
    mark = ("--spawn-session-child", "--ignore-term", "--first", str(tmp_path / "mark"))
    with program(ending, tmp_path, *mark) as (host, _):
        _, complaints = host.communicate(timeout=20)
    assert host.returncode == code
    assert marked(str(tmp_path / "mark")) == []
    assert list((tmp_path / "state").rglob("*.json")) == []
    # The folder of this checkout may be called so.
    assert "hostler" not in complaints.replace(str(Path(__file__).parents[2]), "")


def test_a_program_that_closes_the_loop_under_its_servers_leaves_no_process_and_no_record(
    tmp_path: Path, marked: Callable[[str], list[int]]
) -> None:
    mark = ("--spawn-session-child", "--ignore-term", "--first", str(tmp_path / "mark"))
    with program("loop-closed", tmp_path, *mark) as (host, _):
        _, complaints = host.communicate(timeout=20)
    assert marked(str(tmp_path / "mark")) == []
    assert list((tmp_path / "state").rglob("*.json")) == []
    assert "Traceback" not in complaints


@pytest.mark.parametrize("ending", ["thread-os-exit", "wait"])
async def test_a_program_that_dies_takes_its_server_along_and_the_next_one_cleans_up_the_rest(
    make_spec: MakeSpec, tmp_path: Path, marked: Callable[[str], list[int]], ending: str
) -> None:
    directories = Directories(tmp_path / "state", tmp_path / "data", tmp_path / "cache")
    mark = ("--spawn-session-child", "--double-fork-child", "--children-ignore-term", "--first")
    with program(ending, tmp_path, *mark, str(tmp_path / "mark")) as (host, pid):
        if ending == "wait":
            assert len(marked(str(tmp_path / "mark"))) == 4  # with the program itself
            host.kill()
        host.wait(10)

    wait_gone([pid])
    orphans = marked(str(tmp_path / "mark"))
    assert len(orphans) == 2
    assert len(list(directories.state.rglob("*.json"))) == 1
    notices: list[Notice] = []

    async with Supervisor(make_spec(name="other"), directories=directories) as supervisor:
        supervisor.listen(lambda event: notices.append(event) if isinstance(event, Notice) else None)
        await supervisor["other"].wait_ready(10)
        wait_gone(orphans)

    assert [notice.topic for notice in notices] == ["orphans_removed"]
    assert sorted(notices[0].details["pids"]) == sorted(orphans)  # type: ignore[call-overload]
    assert files_in(directories.state) == []
