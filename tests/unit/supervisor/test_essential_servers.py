"""Essential servers: their end for good is the end of the run."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hostler import (
    Condition,
    Directories,
    EssentialEnd,
    Event,
    Kind,
    Need,
    Notice,
    OnRestart,
    RestartMode,
    ServerSpec,
    State,
    StateChanged,
    Supervisor,
    serve,
)
from hostler.testing import SimulatedHost, run_virtually
from specs import QUICK, MakeSpec

NEVER = replace(QUICK, policy=RestartMode.NEVER, start_retries=0)


def worker(script: str, **fields: Any) -> ServerSpec:
    """An essential server without a port that runs a shell script."""
    given: dict[str, Any] = {"name": "main", "port": None, "essential": True, "restart": NEVER} | fields
    return ServerSpec(command=("sh", "-c", script), **given)


async def ended(*specs: ServerSpec, directories: Directories) -> tuple[EssentialEnd | None, list[Event]]:
    """Run until nothing is left to do; what ended the run, and all that was told."""
    events: list[Event] = []
    async with Supervisor(specs, directories=directories) as supervisor:
        supervisor.listen(events.append)
        with anyio.fail_after(20):
            await supervisor.wait()
        assert all(server.state.at_rest for server in supervisor.servers.values())
        return supervisor.ended_by, events


@pytest.mark.parametrize(
    ("spec", "code"),
    [
        (worker("exit 7"), 7),
        (worker("kill -KILL $$$$"), 128 + signal.SIGKILL),
        (worker("exit 0"), 0),
        (worker("exit 0", kind=Kind.TASK), 0),
        (worker("exit 9", kind=Kind.TASK), 9),
        (worker("sleep 1000", kind=Kind.TASK, task_timeout=0.2), 1),
        (worker("sleep 1000", port=0, startup_timeout=0.2), 1),
        (worker("exit 0", port=0), 1),
        (worker("exit 5", port=0), 5),
        (ServerSpec(name="main", command=("no-such-program",), essential=True), 1),
    ],
)
async def test_the_end_of_an_essential_server_ends_the_run_with_its_code(
    make_spec: MakeSpec, directories: Directories, spec: ServerSpec, code: int
) -> None:
    end, events = await ended(make_spec(name="db"), make_spec(name="web"), spec, directories=directories)
    assert end is not None
    assert (end.server, end.code) == ("main", code)
    (notice,) = [event for event in events if isinstance(event, Notice) and event.topic == "essential_ended"]
    how = "has done its work" if code == 0 else "has failed"
    assert notice.server == "main"
    assert notice.text == f"it is essential and {how}: the run ends, with exit code {code}"
    assert notice.details == {"code": code}
    assert notice.level == ("warning" if code else "info")


async def test_all_others_are_stopped_in_order(make_spec: MakeSpec, directories: Directories) -> None:
    specs = [
        make_spec(name="web", needs=("db",)),
        make_spec(name="db"),
        worker("sleep 1; exit 3", needs=("web",)),
    ]
    _, events = await ended(*specs, directories=directories)
    told = [f"{event.server} {event.state.value}" for event in events if isinstance(event, StateChanged)]
    assert told.index("main failed") < told.index("web stopping")
    assert told.index("web stopped") < told.index("db stopping")


async def test_a_stop_or_restart_by_command_and_a_crash_with_restarts_left_are_no_end(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec(essential=True), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(10)
        await server.restart()
        await server.wait_ready(10)
        os.kill(server.pid or 0, signal.SIGKILL)
        with anyio.fail_after(10):
            await server.until(lambda: server.generation == 3)
            await server.wait_ready()
        await supervisor.stop()
        assert supervisor.ended_by is None


async def test_an_essential_server_that_steps_aside_for_another_has_not_ended(
    make_spec: MakeSpec, directories: Directories
) -> None:
    needs = (Need("db", on_restart=OnRestart.STOP),)
    specs = [make_spec(name="db"), make_spec(name="web", needs=needs, essential=True)]
    async with Supervisor(specs, directories=directories) as supervisor:
        await supervisor.wait_ready(timeout=10)
        await supervisor["db"].stop()
        assert supervisor["web"].state is State.STOPPED
        assert supervisor.ended_by is None


async def test_an_essential_server_that_fails_for_want_of_another_ends_the_run(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [
        worker("exit 4", name="task", kind=Kind.TASK, essential=False),
        make_spec(name="web", needs=(Need("task", Condition.COMPLETED),), essential=True, restart=NEVER),
        make_spec(name="other"),
    ]
    end, _ = await ended(*specs, directories=directories)
    assert end is not None
    assert (end.server, end.code) == ("web", 1)
    assert "it needs task" in end.reason


async def test_a_run_that_ended_goes_on_when_its_essential_server_is_started_again(
    directories: Directories, tmp_path: Path
) -> None:
    spec = worker(f"test -e {tmp_path}/good || exit 6; exec sleep 1000")
    async with Supervisor(spec, directories=directories) as supervisor:
        with anyio.fail_after(10):
            await supervisor.wait()
        assert supervisor.ended_by is not None
        (tmp_path / "good").touch()
        await supervisor.start()
        assert supervisor.ended_by is None
        await supervisor.wait_ready(timeout=10)


async def test_the_first_of_two_essential_servers_decides(directories: Directories) -> None:
    slow = worker("trap 'exit 8' TERM; sleep 1000 & wait", name="second")
    end, _ = await ended(worker("sleep 0.3; exit 2"), slow, directories=directories)
    assert end is not None
    assert (end.server, end.code) == ("main", 2)


def test_the_end_is_not_held_up_by_a_server_that_cannot_be_killed(directories: Directories) -> None:
    """The child is simulated: nothing real outlives SIGKILL on command."""

    async def main() -> None:
        world = SimulatedHost()

        def behave(child: Any) -> None:
            child.immortal = child.launch.server == "stuck"

        world.on_child = behave
        specs = [worker("x"), ServerSpec(name="stuck", command=("x",), port=None)]
        async with world.supervisor(specs, directories=directories) as supervisor:
            await supervisor.wait_ready(timeout=10)
            world.children_of("main")[0].exit(3)
            with anyio.fail_after(60):
                await supervisor.wait()
            assert supervisor.ended_by is not None
            assert supervisor["stuck"].state is State.STOPPING
            world.children_of("stuck")[0].let_go()
            await supervisor["stuck"].wait_stopped()

    run_virtually(main)


def test_the_end_without_async(directories: Directories) -> None:
    with serve(worker("exit 5"), directories=directories) as servers:
        servers.wait()
        assert servers.ended_by is not None
        assert servers.ended_by.code == 5
