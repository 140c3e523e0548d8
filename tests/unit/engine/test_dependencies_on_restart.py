"""What happens to servers when one that they need is restarted."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import anyio
import pytest
from dependency_servers import SlowStart, Story
from hostler import (
    Condition,
    Directories,
    Event,
    Need,
    OnRestart,
    PluginSpec,
    ServerCrashed,
    ServerError,
    ServerSpec,
    State,
    StateChanged,
    Supervisor,
    hookimpl,
)
from needed_servers import NEVER, kill, ready, task, until
from specs import QUICK, MakeSpec


def pair(make_spec: MakeSpec, on_restart: OnRestart, *switches: str, **fields: Any) -> list[ServerSpec]:
    """A db, and a web that needs it."""
    needs = (Need("db", on_restart=on_restart),)
    return [make_spec(name="db", **fields), make_spec(*switches, name="web", needs=needs)]


async def test_a_server_runs_on_when_one_that_it_needs_is_lost(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(pair(make_spec, OnRestart.KEEP), directories=directories) as supervisor:
        db, web = supervisor["db"], supervisor["web"]
        await ready(db, web)
        kill(db)
        await until(db, lambda: db.generation == 2)
        await ready(db)
        await db.restart()
        await ready(db)
        await db.stop()
        assert (web.generation, web.state) == (1, State.RUNNING)


async def test_a_server_is_restarted_as_soon_as_the_one_that_it_needs_is_back(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(pair(make_spec, OnRestart.RESTART), directories=directories) as supervisor:
        story, db, web = Story(supervisor), supervisor["db"], supervisor["web"]
        await ready(web)
        pid = web.pid
        kill(db)
        await until(web, lambda: web.generation == 2)
        await ready(web)
        assert story.has("db crashed", "db running", "web stopping", "web running")
        assert web.pid != pid
        assert web.restarts == 0
        await db.stop()
        assert web.state is State.RUNNING
        await db.start()
        await until(web, lambda: web.generation == 3)
        await ready(web)


async def test_a_server_that_stops_with_another_comes_back_with_it(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(pair(make_spec, OnRestart.STOP), directories=directories) as supervisor:
        story, db, web = Story(supervisor), supervisor["db"], supervisor["web"]
        await ready(web)
        kill(db)
        await until(web, lambda: web.generation == 2)
        await ready(web)
        assert story.has("db crashed", "web stopping", "web stopped", "db running", "web waiting_ready")
        assert web.restarts == 0


async def test_a_server_that_stops_with_another_is_stopped_before_it_is_restarted_or_stopped(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = pair(make_spec, OnRestart.STOP, "--term-delay", "0.3")
    reasons: list[str] = []

    def hear(event: Event) -> None:
        if isinstance(event, StateChanged) and event.server == "web" and event.reason:
            reasons.append(f"{event.state.value}: {event.reason}")

    async with Supervisor(specs, directories=directories) as supervisor:
        supervisor.listen(hear)
        story, db, web = Story(supervisor), supervisor["db"], supervisor["web"]
        await ready(web)
        await db.restart()
        await ready(web)
        assert story.has("db stopping", "web stopped", "db stopped", "db running", "web running")
        await db.stop()
        assert story.told[-4:] == ["db stopping", "web stopping", "web stopped", "db stopped"]
        assert reasons == [
            "stopping: db is away",
            "stopping: db is away; it comes back with it",
            "stopped: db is away; it comes back with it",
        ]
        with pytest.raises(ServerError, match="it is stopped"):
            await web.wait_ready(5)
        await db.start()
        await ready(web)


async def test_servers_that_stop_with_each_other_do_so_in_a_row(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = pair(make_spec, OnRestart.STOP)
    specs.append(make_spec(name="page", needs=(Need("web", on_restart=OnRestart.STOP),)))

    async with Supervisor(specs, directories=directories) as supervisor:
        story, db, page = Story(supervisor), supervisor["db"], supervisor["page"]
        await ready(page)
        await db.stop()
        assert story.has("page stopped", "web stopped", "db stopped")
        await db.start()
        await ready(page)
        assert story.has("db running", "web running", "page running")


async def test_a_command_ends_the_wait_for_the_server_that_is_away(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(pair(make_spec, OnRestart.STOP), directories=directories) as supervisor:
        db, web = supervisor["db"], supervisor["web"]
        await ready(web)
        await db.stop()
        await web.stop()
        await db.start()
        await ready(db)
        assert (web.state, web.generation) == (State.STOPPED, 1)
        await web.start()
        await ready(web)


async def test_a_server_that_stopped_with_one_that_gave_up_fails_and_still_comes_back_with_it(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = pair(make_spec, OnRestart.STOP, restart=NEVER)
    async with Supervisor(specs, directories=directories) as supervisor:
        db, web = supervisor["db"], supervisor["web"]
        await ready(web)
        kill(db)

        await until(web, lambda: web.state is State.FAILED)
        with pytest.raises(ServerCrashed, match="it needs db, which is failed"):
            await web.wait_ready(5)
        await db.start()
        await ready(web)


async def test_a_server_is_stopped_while_it_waits_for_one_that_is_stopped_before_it_is_back(
    make_spec: MakeSpec, directories: Directories
) -> None:
    slow = replace(QUICK, initial_delay=60.0, max_delay=60.0, max_restarts=1)
    async with Supervisor(
        pair(make_spec, OnRestart.STOP, restart=slow), directories=directories
    ) as supervisor:
        db, web = supervisor["db"], supervisor["web"]
        await ready(web)
        kill(db)
        await until(web, lambda: web.generation == 2 and web.state is State.STARTING)
        await until(db, lambda: db.state is State.BACKOFF)
        await db.stop()
        await until(web, lambda: web.state is State.STOPPED)
        await db.start()
        await ready(web)


async def test_a_forced_stop_does_not_wait_for_those_that_stop_with_it(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [
        replace(spec, force_kill_timeout=60.0) for spec in pair(make_spec, OnRestart.STOP, "--ignore-term")
    ]
    async with Supervisor(specs, directories=directories) as supervisor:
        await ready(supervisor["web"])
        with anyio.fail_after(5):
            await supervisor["db"].force_stop()
        assert supervisor["web"].state is State.STOPPING
        await supervisor.stop(force=True)


@dataclass(eq=False)
class SlowCrash(SlowStart):
    """Hears of a crash until it is told to go on."""

    @hookimpl
    async def pre_spawn(self) -> None:
        pass

    @hookimpl
    async def on_crash(self) -> None:
        self.begun.set()
        await self.go_on.wait()


@pytest.mark.parametrize("at_once", [False, True])
async def test_a_server_that_crashed_by_itself_does_not_come_back_with_another(
    make_spec: MakeSpec, directories: Directories, at_once: bool
) -> None:
    """Its budget is used up: the return of a server that it needs is no reason to try again."""
    slow = SlowCrash()
    specs = pair(make_spec, OnRestart.STOP, restart=replace(QUICK, initial_delay=0.2, max_delay=0.2))
    specs[1] = replace(
        specs[1], restart=NEVER, plugins=(*specs[1].plugins, PluginSpec("slow", instance=slow))
    )

    async with Supervisor(specs, directories=directories) as supervisor:
        db, web = supervisor["db"], supervisor["web"]
        await ready(web)
        kill(web)
        await slow.begun.wait()
        if at_once:
            kill(db)
            await until(db, lambda: db.state is not State.RUNNING)
        slow.go_on.set()
        await until(web, lambda: web.state is State.FAILED)
        if not at_once:
            kill(db)
        await until(db, lambda: db.generation == 2)
        await ready(db)
        assert (web.state, web.generation) == (State.FAILED, 1)


@pytest.mark.parametrize(
    ("on_restart", "order"),
    [
        (OnRestart.RESTART, ("task stopped", "web stopping", "web running")),
        (OnRestart.STOP, ("task starting", "web running")),
    ],
)
async def test_a_task_that_is_run_again_counts_as_a_restart(
    make_spec: MakeSpec, directories: Directories, on_restart: OnRestart, order: tuple[str, ...]
) -> None:
    need = Need("task", Condition.COMPLETED, on_restart)
    async with Supervisor(
        [task("sleep 0.2"), make_spec(name="web", needs=(need,))], directories=directories
    ) as s:
        story, web = Story(s), s["web"]
        await ready(web)
        await s["task"].start()
        await until(web, lambda: web.generation == 2)
        await ready(web)
        assert story.has(*order)
        assert s["task"].generation == 2


async def test_servers_that_were_removed_are_forgotten_by_those_that_they_needed(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(pair(make_spec, OnRestart.RESTART), directories=directories) as supervisor:
        db, web = supervisor["db"], supervisor["web"]
        await ready(web)
        for _ in range(2):
            await supervisor.remove("web")
            await supervisor.add(web.spec)
            await ready(supervisor["web"])
        assert list(db._engine.dependents) == [supervisor["web"]._engine]
