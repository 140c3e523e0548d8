"""What a server's handle shows of its processes, its plugins and its crashes."""

from __future__ import annotations

import os
import signal

import anyio
from hostler import (
    Directories,
    Endpoint,
    PluginFailed,
    PluginSpec,
    RestartPolicy,
    State,
    Supervisor,
    hookimpl,
    sample_memory,
)
from specs import MakeSpec


class Failing:
    @hookimpl
    async def on_ready(self, server: object, endpoint: Endpoint) -> None:
        raise ValueError("no")


async def test_what_its_processes_use_is_sampled_when_asked_for(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec("--spawn-child"), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        assert not server.memory_points
        await sample_memory(supervisor.servers.values())
        (point,) = server.memory_points
        assert point.processes == 2
        assert point.rss > 2**20
        assert 0 < point.cpu < 60

        tree = {one.pid: one for one in await server.processes()}
        assert server.pid is not None
        assert tree[server.pid].parent == os.getpid()
        assert [one.parent for one in tree.values() if one.pid != server.pid] == [server.pid]
        await server.stop()
        assert not server.memory_points


async def test_the_calls_of_its_plugins_are_counted(make_spec: MakeSpec, directories: Directories) -> None:
    spec = make_spec(plugins=(PluginSpec("bad", instance=Failing()),))
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        assert server.hook_stats == {}
        events = server.events()
        with anyio.fail_after(20):
            await anext(event async for event in events if isinstance(event, PluginFailed))
        stats = server.hook_stats["bad", "on_ready"]
        assert (stats.calls, stats.failures, stats.disabled) == (1, 1, False)


async def test_each_crash_has_its_number_and_the_time_of_the_next_try(
    make_spec: MakeSpec, directories: Directories
) -> None:
    policy = RestartPolicy(initial_delay=30.0, max_delay=30.0)
    async with Supervisor(make_spec(restart=policy), directories=directories) as supervisor:
        server = supervisor["fake"]
        for number in (1, 2):
            await server.ensure() if number == 1 else await server.restart()
            await server.wait_ready(20)
            assert server.next_try is None
            assert server.pid is not None
            os.kill(server.pid, signal.SIGKILL)
            await server.wait_for(State.BACKOFF, 20)
            assert server.crashes[-1].number == number
            assert server.next_try == server.crashes[-1].next_try is not None
