"""Stops, forced stops, and commands that meet one another."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import anyio
import anyio.lowlevel
import pytest
from children import lives
from hostler import (
    Directories,
    Launch,
    PluginSpec,
    RestartPolicy,
    ServerError,
    StartupTimeout,
    State,
    hookimpl,
)
from specs import MakeSpec, announced
from supervised_servers import reaches, supervised

REGEX = announced()


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
        assert server._engine.run is not None
        members = server._engine.run.members()
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
        assert server._engine.run is not None
        assert len(server._engine.run.members()) == 1

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


@pytest.mark.requirement("R13")
async def test_a_wait_for_ready_that_takes_too_long_is_a_timeout(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with supervised(make_spec("--announce-delay", "60"), directories) as supervisor:
        with pytest.raises(StartupTimeout, match=r"not ready after 0\.2 s"):
            await supervisor["fake"].wait_ready(0.2)
