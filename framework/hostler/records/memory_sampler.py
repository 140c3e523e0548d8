"""Samples the memory of servers, each at its own interval."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable, Mapping

import anyio

from hostler.concurrency.event_loop import loop_time
from hostler.engine.server import Server
from hostler.events.crash import MemoryPoint
from hostler.events.events import MemorySampled
from hostler.model.states import State
from hostler.process.tree.usage import TreeMemory
from hostler.runtime.base_run import Run


async def sample_memory(servers: Mapping[str, Server], changed: Callable[[float], Awaitable[None]]) -> None:
    """Emit what running servers use, at each one's `memory_interval`; never ends.

    `changed` waits until servers come, go or change, or until a time.
    """
    due: dict[str, float] = {}

    while True:
        now = loop_time()
        due = {
            name: min(due.get(name, math.inf), now + server.spec.memory_interval)
            for name, server in servers.items()
            if server.spec.memory_interval > 0
        }
        await changed(min(due.values(), default=math.inf))
        now = loop_time()
        sampled = [name for name, time in due.items() if time <= now]
        async with anyio.create_task_group() as tasks:  # at once: they share one look at the process table
            for name in sampled:
                del due[name]
                if name in servers:
                    tasks.start_soon(_sample, servers[name])


async def _sample(server: Server) -> None:
    run = server.run
    if server.state is not State.RUNNING or run is None or run.process is None:
        return

    try:
        memory = await server.context.processes.memory_soon(run.process)
    except OSError:  # no free descriptor, say: the next sample will do
        return

    if server.run is not run or server.state is not State.RUNNING:  # it has ended meanwhile
        return

    _note(run, memory)
    server.reporter.emit(
        MemorySampled(
            **server.reporter.origin,
            rss=memory.rss,
            processes=memory.processes,
            uptime=round(server.uptime, 3),
        )
    )


async def note_memory(run: Run) -> None:
    """Note what a run uses, without an event; calls at the same moment share one reading of the tree."""
    if run.process is None or run.exited_at is not None:
        return
    try:
        memory = await run.context.processes.memory_soon(run.process)
    except OSError:
        return
    if memory.processes:
        _note(run, memory)


def _note(run: Run, memory: TreeMemory) -> None:
    run.memory.append(MemoryPoint(round(run.uptime, 3), memory.rss, memory.processes))
