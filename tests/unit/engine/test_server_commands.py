"""Commands that race: each is carried out or overtaken, and none is left waiting."""

from __future__ import annotations

import os
import signal
from dataclasses import replace

import anyio
import anyio.lowlevel
import pytest
from held_hooks import HeldHook
from hostler import (
    Directories,
    Event,
    PluginSpec,
    RestartMode,
    RestartPolicy,
    Server,
    ServerError,
    ServerSpec,
    State,
    StateChanged,
    Supervisor,
)
from specs import QUICK, MakeSpec, announced
from supervised_servers import reaches

NEVER = replace(QUICK, policy=RestartMode.NEVER)


def dies_unnoticed(server: Server) -> None:
    """The process is dead and word of it is on its way, but nobody has read it yet."""
    assert server._engine.run is not None
    process = server._engine.run.process
    assert process is not None
    os.kill(process.pid, signal.SIGKILL)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert not process.alive()
    assert server.state is State.RUNNING


SITUATIONS = [
    (State.STARTING, "pre_spawn", ()),
    (State.WAITING_READY, "", ("--announce-delay", "0.5")),
    (State.RUNNING, "", ()),
    (State.STOPPING, "on_shutdown", ()),
    (State.CRASHED, "on_crash", ("--exit-after", "0.2")),
    (State.BACKOFF, "", ("--exit-after", "0.2")),
]
SLOW = RestartPolicy(initial_delay=60.0, max_delay=60.0, start_retries=1)


@pytest.mark.parametrize(
    ("state", "hook", "switches"), SITUATIONS, ids=lambda value: getattr(value, "name", "")
)
async def test_a_stop_and_a_start_at_once_are_both_carried_out(
    make_spec: MakeSpec, directories: Directories, state: State, hook: str, switches: tuple[str, ...]
) -> None:
    plugin = HeldHook(hook)
    plugins = (announced(), PluginSpec("holds", instance=plugin))
    stops: list[int] = []

    async with Supervisor(
        make_spec(*switches, plugins=plugins, restart=SLOW), directories=directories
    ) as supervisor:
        server = supervisor["fake"]
        supervisor.listen(lambda e: stops.append(e.generation) if _rests(e) else None)
        await (reaches(server, State.RUNNING) if state is State.STOPPING else reaches(server, state))
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.stop)
                if state is State.STOPPING:
                    await reaches(server, state)
                tasks.start_soon(server.start)
                await anyio.lowlevel.checkpoint()
                plugin.release.set()
            await server.until(
                lambda: server.generation == 2 and server.state in {State.WAITING_READY, State.RUNNING}
            )
        assert stops == [1]


def _rests(event: Event) -> bool:
    return isinstance(event, StateChanged) and event.state is State.STOPPED


@pytest.mark.parametrize(
    ("state", "hook", "switches"), SITUATIONS, ids=lambda value: getattr(value, "name", "")
)
async def test_a_restart_and_a_stop_at_once_end_stopped(
    make_spec: MakeSpec, directories: Directories, state: State, hook: str, switches: tuple[str, ...]
) -> None:
    plugin = HeldHook(hook)
    plugins = (announced(), PluginSpec("holds", instance=plugin))
    async with Supervisor(
        make_spec(*switches, plugins=plugins, restart=SLOW), directories=directories
    ) as supervisor:
        server = supervisor["fake"]
        await (reaches(server, State.RUNNING) if state is State.STOPPING else reaches(server, state))
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.restart)
                tasks.start_soon(server.stop)
                await anyio.lowlevel.checkpoint()
                plugin.release.set()
            await server.wait_stopped()
        assert (server.state, server.pid) == (State.STOPPED, None)


async def test_a_restart_that_meets_a_crash_does_not_ask_for_the_policy(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec(restart=NEVER), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        dies_unnoticed(server)
        with anyio.fail_after(10):
            await server.restart()
            await server.wait_ready()
        assert (server.generation, server.restarts) == (2, 0)


async def test_a_stop_that_meets_a_crash_ends_stopped(make_spec: MakeSpec, directories: Directories) -> None:
    async with Supervisor(make_spec(restart=NEVER), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        dies_unnoticed(server)
        with anyio.fail_after(10):
            await server.stop()
        assert server.state is State.STOPPED


async def test_a_wait_for_ready_beside_the_start_of_a_failed_server_is_not_told_of_the_old_failure(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec(restart=NEVER), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        os.kill(server.pid or 0, signal.SIGKILL)
        await reaches(server, State.FAILED)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.start)
                tasks.start_soon(server.wait_ready)
        assert server.state is State.RUNNING


async def test_a_stopped_server_is_told_as_stopped_whatever_failed_before(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(
        make_spec("--exit-after", "0", restart=SLOW), directories=directories
    ) as supervisor:
        server = supervisor["fake"]
        await reaches(server, State.BACKOFF)
        await server.stop()
        with pytest.raises(ServerError, match="it is stopped"):
            await server.wait_ready(1)


async def test_a_task_that_is_asked_for_again_while_it_ends_runs_again(directories: Directories) -> None:
    plugin = HeldHook("on_crash")
    spec = ServerSpec(
        name="task", command=("true",), port=None, plugins=(PluginSpec("holds", instance=plugin),)
    )
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["task"]
        await reaches(server, State.CRASHED)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.start)
                await anyio.lowlevel.checkpoint()
                plugin.release.set()
            await server.wait_stopped()
        assert server.generation == 2


async def test_a_new_start_has_its_retries_again(make_spec: MakeSpec, directories: Directories) -> None:
    """A restart by hand is a start: what the one before spent, or reached, does not count."""
    plugins = (announced(),)
    spec = make_spec("--announce-delay", "0.3", plugins=plugins, restart=QUICK)
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        await reaches(server, State.WAITING_READY)
        os.kill(server.pid or 0, signal.SIGKILL)
        await server.until(lambda: server.generation == 2 and server.state is State.WAITING_READY)
        await server.restart()
        assert server.generation == 3
        os.kill(server.pid or 0, signal.SIGKILL)
        with anyio.fail_after(10):
            await server.wait_ready()
        assert server.generation == 4


async def test_commands_without_a_living_supervisor_are_refused(
    make_spec: MakeSpec, directories: Directories
) -> None:
    supervisor = Supervisor(make_spec(), directories=directories)
    server = supervisor["fake"]

    with anyio.fail_after(5):
        with pytest.raises(ServerError, match="supervisor"):
            await server.start()
        async with supervisor:
            await server.wait_ready(10)
        for command in (server.start, server.restart):
            with pytest.raises(ServerError, match="supervisor"):
                await command()
        await server.stop()


async def test_a_burst_of_commands_from_several_tasks_ends_with_the_last(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec(), directories=directories) as supervisor:
        server = supervisor["fake"]
        with anyio.fail_after(20):
            for round_ in range(4):
                async with anyio.create_task_group() as tasks:
                    for command in (
                        server.restart,
                        server.stop,
                        server.restart,
                        server.stop,
                        server.restart,
                    ) * 20:
                        tasks.start_soon(command)
                        if round_ % 2:
                            await anyio.lowlevel.checkpoint()
            await server.wait_ready()
            await server.stop()
        assert (server.state, server.pid) == (State.STOPPED, None)
