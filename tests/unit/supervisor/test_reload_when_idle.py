"""A reload while something runs: those servers are restarted later, and all others at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from functools import partial

import anyio
import pytest
from hostler import (
    Changes,
    Directories,
    Event,
    Need,
    Notice,
    OnRestart,
    RestartNotIdle,
    RestartPolicy,
    ServerSpec,
    State,
    Supervisor,
)
from idle_servers import Tells, busy
from reloading import notices, ready
from specs import MakeSpec


def changed(*specs: ServerSpec) -> list[ServerSpec]:
    return [replace(spec, env={"STAGE": "b"}) for spec in specs]


@asynccontextmanager
async def supervised(directories: Directories, *specs: ServerSpec) -> AsyncIterator[Supervisor]:
    async with Supervisor(specs, directories=directories) as supervisor:
        with anyio.fail_after(40):
            await ready(supervisor)
            yield supervisor


async def restarted(supervisor: Supervisor, name: str, generation: int = 2) -> None:
    server = supervisor[name]
    await server.until(lambda: server.generation == generation and server.usable)


async def reloading(supervisor: Supervisor, plugin: Tells, *specs: ServerSpec) -> asyncio.Task[Changes]:
    """A reload that waits for this plugin's server."""
    plugin.asked = anyio.Event()
    task = asyncio.create_task(supervisor.reload(specs, when="idle", within=30))
    await plugin.asked.wait()
    return task


async def test_a_busy_server_is_restarted_later_and_holds_up_no_other(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin, policy = busy(), RestartPolicy(wait_idle=30)
    specs = [make_spec(name="busy", plugins=plugin.plugins, restart=policy), make_spec(name="other")]
    async with supervised(directories, *specs) as supervisor:
        changes = await supervisor.reload(changed(*specs))
        assert (changes.restarted, changes.when_idle) == (("busy", "other"), ("busy",))
        await restarted(supervisor, "other")
        assert supervisor["busy"].generation == 1
        assert not supervisor["busy"].spec.env
        plugin.answer = []
        await restarted(supervisor, "busy")
        assert supervisor["busy"].spec.env == {"STAGE": "b"}
        assert supervisor["other"].generation == 2


async def test_what_was_never_idle_is_named_and_keeps_what_it_has(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = busy()
    specs = [make_spec(name="busy", plugins=plugin.plugins), make_spec(name="unknown")]
    events: list[Event] = []
    async with supervised(directories, *specs) as supervisor:
        supervisor.listen(events.append)
        with pytest.raises(RestartNotIdle, match="running: job") as caught:
            await supervisor.reload(changed(*specs), when="idle", within="100ms")
        assert "unknown" in str(getattr(caught.value, "__notes__", ""))
        assert [server.generation for server in supervisor.servers.values()] == [1, 1]
        assert [one for one in notices(events) if "idle" in one] == [
            "busy restart_not_idle",
            "unknown restart_not_idle",
        ]
        assert supervisor.changes(changed(*specs)).restarted == ("busy", "unknown")
        await supervisor.reload(changed(*specs), when="now")
        await restarted(supervisor, "busy")


async def test_a_later_reload_takes_the_place_of_one_that_waits(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = busy()
    spec = make_spec(name="busy", plugins=plugin.plugins)
    async with supervised(directories, spec) as supervisor:
        first = await reloading(supervisor, plugin, *changed(spec))
        plugin.asked = anyio.Event()
        second = asyncio.create_task(
            supervisor.reload(replace(spec, env={"STAGE": "c"}), when="idle", within=30)
        )
        assert (await first).restarted == ()
        plugin.answer = []
        assert (await second).restarted == ("busy",)
        await restarted(supervisor, "busy")
        assert supervisor["busy"].spec.env == {"STAGE": "c"}


async def test_a_server_that_would_take_a_busy_one_with_it_waits_too(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = busy()
    base = make_spec(name="base")
    web = make_spec(
        name="web",
        plugins=plugin.plugins,
        needs=(Need("base", on_restart=OnRestart.RESTART),),
        restart=RestartPolicy(wait_idle=30),
    )
    async with supervised(directories, base, web) as supervisor:
        changes = await supervisor.reload([*changed(base), web])
        assert changes.when_idle == ("base",)
        await plugin.asked.wait()
        assert supervisor["base"].generation == 1
        plugin.answer = []
        await restarted(supervisor, "base")
        await restarted(supervisor, "web")


async def test_what_cannot_stand_beside_a_busy_server_waits_with_it(
    make_spec: MakeSpec, directories: Directories, free_tcp_port_factory: Callable[[], int]
) -> None:
    plugin, port, other_port = busy(), free_tcp_port_factory(), free_tcp_port_factory()
    base, spare = make_spec(name="base"), make_spec(name="spare", plugins=Tells("is_idle", True).plugins)
    web = make_spec(name="web", plugins=plugin.plugins, needs=("base",), port=port)
    async with supervised(directories, base, web, spare) as supervisor:
        wanted = [replace(web, needs=(), port=other_port), replace(spare, port=port), make_spec(name="new")]
        task = await reloading(supervisor, plugin, *wanted)
        await restarted(supervisor, "new", 1)
        assert supervisor["base"].generation == supervisor["spare"].generation == 1
        plugin.answer = []
        changes = await task
        await ready(supervisor)
        assert (changes.removed, changes.restarted) == (("base",), ("web", "spare"))
        assert list(supervisor) == ["web", "spare", "new"]
        endpoint = supervisor["spare"].endpoint
        assert endpoint is not None
        assert endpoint.port == port


async def test_all_waits_where_the_old_and_the_new_contradict_each_other(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = busy()
    base = make_spec(name="base", plugins=Tells("is_idle", True).plugins)
    web = make_spec(name="web", plugins=plugin.plugins, needs=("base",))
    async with supervised(directories, base, web) as supervisor:
        task = await reloading(supervisor, plugin, replace(base, needs=("web",)), replace(web, needs=()))
        assert supervisor["base"].generation == 1
        plugin.answer = []
        assert (await task).restarted == ("base", "web")
        await ready(supervisor)
        assert list(supervisor["base"]._engine.needs) == ["web"]


@pytest.mark.parametrize("end", ["stop", "remove", "close"])
async def test_what_ends_meanwhile_is_not_waited_for(
    end: str, make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = busy()
    spec = make_spec(name="busy", plugins=plugin.plugins)
    async with supervised(directories, spec, make_spec(name="other")) as supervisor:
        task = await reloading(supervisor, plugin, *changed(spec), make_spec(name="other"))
        ends = {"stop": partial(supervisor.stop, "busy"), "remove": partial(supervisor.remove, "busy")}
        await ends.get(end, supervisor.close)()
        changes = await task
        server = supervisor.servers.get("busy")
        if end == "stop":
            assert server is not None
            assert (server.state, server.spec.env) == (State.STOPPED, {"STAGE": "b"})
        assert changes.restarted == (() if end == "close" else ("busy",))
        assert (server is None) is (end == "remove")


async def test_a_wait_says_once_what_runs(make_spec: MakeSpec, directories: Directories) -> None:
    plugin, events = busy(), list[Event]()
    spec = make_spec(name="busy", plugins=plugin.plugins)
    async with supervised(directories, spec) as supervisor:
        supervisor.listen(events.append)
        with pytest.raises(RestartNotIdle):
            await supervisor.reload(changed(spec), when="idle", within=1.2)
    (waits,) = [one for one in events if isinstance(one, Notice) and one.topic == "restart_waits"]
    assert waits.text == "its restart waits up to 1.2 s until nothing runs on it; running: job"
