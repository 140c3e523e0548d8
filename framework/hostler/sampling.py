"""Telling the memory of servers, each at its own interval."""

from __future__ import annotations

from collections.abc import Mapping

import anyio

from hostler.events import MemorySampled
from hostler.server import Server
from hostler.states import State


async def sample_memory(servers: Mapping[str, Server]) -> None:
    """Say what running servers use, at each one's `memory_interval`; ends at once where there is none."""
    every = {name: server.spec.memory_interval for name, server in servers.items()}
    began = anyio.current_time()
    due = {name: began + interval for name, interval in every.items() if interval > 0}

    while due:
        await anyio.sleep_until(min(due.values()))
        now = anyio.current_time()

        for name in [name for name, time in due.items() if time <= now]:
            due[name] = now + every[name]
            _say(servers[name])


def _say(server: Server) -> None:
    if server.state is not State.RUNNING or server.run is None or server.run.process is None:
        return

    try:
        memory = server.around.processes.memory(server.run.process)
    except OSError:  # no descriptor left to look with, say: the next sample tells
        return

    server.voice.say(
        MemorySampled(
            server=server.name,
            generation=server.generation,
            rss=memory.rss,
            processes=memory.processes,
            uptime=round(server.uptime, 3),
        )
    )
