"""A restart that waits for a quiet moment: busy, idle and unknown."""

from __future__ import annotations

from functools import partial

import anyio
import pytest
from hostler import Directories, Event, Need, OnRestart, RestartNotIdle, RestartPolicy, State, Supervisor
from idle_servers import Tells, busy
from reloading import notices, ready
from specs import MakeSpec


@pytest.mark.parametrize(
    ("fact", "answer", "reason"),
    [
        ("what_runs", ["job 1", "job 2"], "running: job 1, job 2"),
        ("what_runs", None, "unknown, which counts as busy"),
        ("what_runs", OSError("no answer"), "unknown, which counts as busy"),
        ("is_idle", False, "running: it does not say what"),
        ("nothing", None, "unknown, which counts as busy"),
    ],
)
async def test_a_server_that_is_not_known_to_be_idle_runs_on(
    fact: str, answer: object, reason: str, make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec(plugins=Tells(fact, answer).plugins)
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        with anyio.fail_after(5), pytest.raises(RestartNotIdle, match=reason):
            await server.restart(when="idle", within="0s")
        assert (await server.what_runs() is None) == ("unknown" in reason)
        assert (server.state, server.generation) == (State.RUNNING, 1)


async def test_another_moment_than_there_is_restarts_nothing(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec(), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        for attempt in (server.restart(when="Idle"), supervisor.reload(make_spec(), when="later")):  # type: ignore[arg-type]
            with pytest.raises(ValueError, match='when: expected "now" or "idle", found '):
                await attempt
        assert (server.state, server.generation) == (State.RUNNING, 1)


@pytest.mark.parametrize(("fact", "answer", "idle"), [("what_runs", ["job"], []), ("is_idle", False, True)])
async def test_it_is_restarted_as_soon_as_nothing_runs(
    fact: str, answer: object, idle: object, make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = Tells(fact, answer)
    async with Supervisor(make_spec(plugins=plugin.plugins), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(server.restart, when="idle", within=20.0))
                await plugin.asked.wait()
                assert server.generation == 1
                plugin.answer = idle
        assert server.generation == 2


async def test_a_stop_that_is_asked_for_meanwhile_wins(make_spec: MakeSpec, directories: Directories) -> None:
    plugin = busy()
    async with Supervisor(make_spec(plugins=plugin.plugins), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(server.restart, when="idle", within=20.0))
                await plugin.asked.wait()
                await server.stop()
        assert (server.state, server.generation) == (State.STOPPED, 1)


async def test_it_waits_for_those_that_restart_with_it(make_spec: MakeSpec, directories: Directories) -> None:
    base, follower = Tells("is_idle", True), busy()
    specs = [
        make_spec(name="base", plugins=base.plugins),
        make_spec(name="web", plugins=follower.plugins, needs=(Need("base", on_restart=OnRestart.RESTART),)),
        make_spec(name="mute", needs=(Need("base", on_restart=OnRestart.RESTART),)),
    ]
    async with Supervisor(specs, directories=directories) as supervisor:
        await ready(supervisor)
        with pytest.raises(RestartNotIdle, match=r"running: job \(web\)"):
            await supervisor["base"].restart(when="idle", within=0.1)
        follower.answer = []
        with anyio.fail_after(20):
            await supervisor["base"].restart(when="idle", within=10)
        assert supervisor["base"].generation == 2


async def test_a_restart_that_a_plugin_has_planned_waits_as_long_as_its_policy_says(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin, events = busy(), list[Event]()
    spec = make_spec(plugins=plugin.plugins, restart=RestartPolicy(wait_idle=20))
    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(events.append)
        await ready(supervisor)
        server = supervisor["fake"]
        server._engine.ask_restart("a file changed", when="planned")
        with anyio.fail_after(20):
            await plugin.asked.wait()
            server._engine.ask_restart("another one", when="planned")
            plugin.answer = []
            await server.until(lambda: server.generation == 2)
            await server.wait_ready()
            plugin.answer = ["job"]
            server._engine.ask_restart("this one does not wait")
            await server.until(lambda: server.generation == 3)
    asked = [one for one in notices(events) if "restart" in one]
    assert asked == ["fake restart_asked", "fake restart_waits", "fake restart_asked"]


async def test_a_planned_restart_without_a_quiet_moment_is_reported(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec(plugins=busy().plugins, restart=RestartPolicy(wait_idle=0.1))
    async with Supervisor(spec, directories=directories) as supervisor:
        await ready(supervisor)
        server = supervisor["fake"]
        events = server.events()
        server._engine.ask_restart("a file changed", when="planned")
        with anyio.fail_after(20):
            async for event in events:
                if notices([event]) == ["fake restart_not_idle"]:
                    break
        assert server.generation == 1
