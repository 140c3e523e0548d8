"""Servers that need others: what they wait for, in which order they end, what follows when those restart."""

from __future__ import annotations

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from dependency_servers import SlowStart, Story
from hostler import (
    Condition,
    Directories,
    Event,
    InvalidConfiguration,
    Need,
    OnRestart,
    PluginSpec,
    Secret,
    ServerCrashed,
    ServerSpec,
    State,
    StateChanged,
    Supervisor,
)
from hostler.launching.resolved_inputs import ResolvedInputs, resolve_inputs
from hostler.testing import SimulatedHost, run_virtually
from needed_servers import kill, ready, task, until
from specs import QUICK, MakeSpec, announced

# -- conditions ------------------------------------------------------------------------------------


async def test_a_server_that_needs_another_one_started_does_not_wait_until_that_is_ready(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [
        make_spec("--announce-delay", "60", name="db", startup_timeout=60.0),
        make_spec(name="web", needs=(Need("db", Condition.STARTED),)),
    ]
    async with Supervisor(specs, directories=directories) as supervisor:
        await ready(supervisor["web"])
        assert supervisor["db"].state is State.WAITING_READY


async def test_a_server_that_needs_a_task_completed_starts_after_its_end(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    specs = [
        make_spec(name="web", needs=(Need("task", Condition.COMPLETED), "db")),
        task("sleep 0.3", needs=("db",)),
        make_spec(name="db"),
    ]
    async with Supervisor(specs, directories=directories) as supervisor:
        story = Story(supervisor)
        await ready(supervisor["web"])
        assert story.has("db running", "task running", "task stopped", "web waiting_ready")


@pytest.mark.parametrize("condition", Condition)
async def test_a_task_that_has_completed_fulfils_every_condition(
    make_spec: MakeSpec, directories: Directories, condition: Condition
) -> None:
    specs = [task("exit 0"), make_spec(name="web", needs=(Need("task", condition),), autostart=False)]
    async with Supervisor(specs, directories=directories) as supervisor:
        await supervisor["task"].wait_completed(10)
        await supervisor.start("web")
        await ready(supervisor["web"])
        assert supervisor["task"].generation == 1


async def test_a_task_that_failed_is_the_reason_of_those_that_need_it(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [task("exit 3"), make_spec(name="web", needs=(Need("task", Condition.COMPLETED),))]
    async with Supervisor(specs, directories=directories) as supervisor:
        message = r"it needs task to complete, which failed: it did not complete: exit code 3"
        with pytest.raises(ServerCrashed, match=message) as caught:
            await supervisor["web"].wait_ready(10)
        assert caught.value.context.hint == "see why task is failed, then start both"
        assert supervisor["web"].generation == 1


async def test_a_task_that_was_stopped_is_the_reason_too(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [task("sleep 1000"), make_spec(name="web", needs=(Need("task", Condition.COMPLETED),))]
    async with Supervisor(specs, directories=directories) as supervisor:
        await ready(supervisor["task"])
        await supervisor.stop("task")
        with pytest.raises(ServerCrashed, match="it needs task to complete, which is stopped"):
            await supervisor["web"].wait_ready(10)


async def test_those_that_wait_for_a_server_go_on_waiting_while_it_is_restarted(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    again = tmp_path / "again"
    db = make_spec(name="db", restart=replace(QUICK, initial_delay=0.3, max_delay=0.3))
    script = 'test -e "$0" && exec "$@"; touch "$0"; exit 1'
    db = replace(db, command=("sh", "-c", script, str(again), *db.command))
    async with Supervisor([db, make_spec(name="web", needs=("db",))], directories=directories) as supervisor:
        await ready(supervisor["web"])
        assert (supervisor["db"].generation, supervisor["web"].generation) == (2, 1)


async def test_a_server_is_not_spawned_when_one_that_it_needs_went_while_it_was_prepared(
    make_spec: MakeSpec, directories: Directories
) -> None:
    slow = SlowStart()
    plugins = (announced(), PluginSpec("slow", instance=slow))
    specs = [make_spec(name="db"), make_spec(name="web", needs=("db",), plugins=plugins, essential=True)]
    reasons: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, StateChanged) and event.server == "web" and event.state is State.STOPPED:
            reasons.append(event.reason)

    async with Supervisor(specs, directories=directories) as supervisor:
        supervisor.listen(hear)
        story = Story(supervisor)
        with anyio.fail_after(20):
            await slow.begun.wait()
            kill(supervisor["db"])
            await supervisor["db"].until(lambda: supervisor["db"].state is not State.RUNNING)
            slow.go_on.set()
        await ready(supervisor["web"])
        assert story.has("web stopped", "web starting", "db running", "web waiting_ready")
        assert supervisor["web"].generation == 2
        assert reasons == ["db went down while it was being prepared"]
        assert supervisor.ended_by is None, "it is on its way"


async def test_a_needed_server_that_is_back_before_all_is_read_holds_nothing_up(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "key"
    file.touch(mode=0o600)
    file.write_text("sesame-open-sesame")
    begun, go_on = threading.Event(), threading.Event()

    def slowly(*given: Any) -> ResolvedInputs:  # a file on a slow disk
        begun.set()
        go_on.wait(20)
        return resolve_inputs(*given)

    monkeypatch.setattr("hostler.engine.startup.resolve_inputs", slowly)
    specs = [make_spec(name="db"), make_spec(name="web", needs=("db",), env={"KEY": Secret(f"file:{file}")})]
    async with Supervisor(specs, directories=directories) as supervisor:
        db, web = supervisor["db"], supervisor["web"]
        await asyncio.to_thread(begun.wait, 20)
        kill(db)
        await until(db, lambda: db.generation == 2)
        await ready(db)
        go_on.set()
        await ready(web)
        assert web.generation == 1


def test_a_stop_does_not_wait_for_a_follower_that_outlives_sigkill(directories: Directories) -> None:
    """The child is simulated: nothing real outlives SIGKILL on command."""

    async def main() -> None:
        world = SimulatedHost()

        def behave(child: Any) -> None:
            child.immortal = child.launch.server == "web"

        world.on_child = behave
        needs = (Need("db", on_restart=OnRestart.STOP),)
        specs = [
            ServerSpec(name="db", command=("x",), port=None),
            ServerSpec(name="web", command=("x",), port=None, needs=needs),
        ]
        async with world.supervisor(specs, directories=directories) as supervisor:
            await supervisor.wait_ready(timeout=10)
            with anyio.fail_after(300):
                await supervisor["db"].stop()
            assert supervisor["db"].state is State.STOPPED
            assert supervisor["web"].state is State.STOPPING
            world.children_of("web")[0].let_go()
            await supervisor["web"].wait_stopped()

    run_virtually(main)


# -- order -----------------------------------------------------------------------------------------


async def test_a_diamond_starts_in_parallel_and_stops_in_reverse(
    make_spec: MakeSpec, directories: Directories
) -> None:
    slow = ("--announce-delay", "0.4", "--term-delay", "0.4")
    specs = [
        make_spec(name="top", needs=("left", "right")),
        make_spec(*slow, name="left", needs=("root",)),
        make_spec(*slow, name="right", needs=("root",)),
        make_spec(name="root"),
    ]
    async with Supervisor(specs, directories=directories) as supervisor:
        story = Story(supervisor)
        await ready(supervisor["top"])
        for one, other in (("left", "right"), ("right", "left")):
            assert story.has("root running", f"{one} waiting_ready", f"{other} running", "top waiting_ready")
        story.told.clear()

    for one, other in (("left", "right"), ("right", "left")):
        assert story.has("top stopped", f"{one} stopping", f"{other} stopped", "root stopping")


def test_a_circle_is_told_without_the_way_to_it(make_spec: MakeSpec, directories: Directories) -> None:
    specs = [make_spec(name=name, needs=(need,)) for name, need in ("ab", "bc", "cb")]
    with pytest.raises(InvalidConfiguration, match=r"servers need each other in a cycle: b -> c -> b$"):
        Supervisor(specs, directories=directories)


def test_what_never_completes_cannot_be_waited_for(make_spec: MakeSpec, directories: Directories) -> None:
    specs = [make_spec(name="db"), make_spec(name="web", needs=(Need("db", Condition.COMPLETED),))]
    with pytest.raises(InvalidConfiguration, match=r'servers\.web\.needs\[0\]: "db" never completes'):
        Supervisor(specs, directories=directories)


async def test_a_stop_of_all_that_a_start_overtakes_stops_nothing_later(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [make_spec(name="db"), make_spec("--term-delay", "0.3", name="web", needs=("db",))]
    async with Supervisor(specs, directories=directories) as supervisor:
        await ready(supervisor["web"])
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(supervisor.stop)
                await supervisor["web"].until(lambda: supervisor["web"].state is State.STOPPING)
                tasks.start_soon(supervisor.start)
        await ready(supervisor["web"], supervisor["db"])
        assert (supervisor["db"].generation, supervisor["web"].generation) == (1, 2)
