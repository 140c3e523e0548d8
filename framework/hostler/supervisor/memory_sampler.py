"""Samples the memory of servers, each at its own interval."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import suppress

from hostler.concurrency.event_loop import loop_time
from hostler.engine.server import SupervisedServer
from hostler.events.crash import MemoryPoint
from hostler.events.events import MemorySampled
from hostler.model.states import State
from hostler.process.tree.usage import TreeMemory
from hostler.runtime.base_run import Run

_MOST_POINTS = 30  # of a run, for its crash record


async def sample_memory(
    servers: Mapping[str, SupervisedServer], changed: Callable[[float], Awaitable[None]]
) -> None:
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
        for name in sampled:
            del due[name]
        await _sample([servers[name] for name in sampled if name in servers])


async def _sample(servers: Iterable[SupervisedServer]) -> None:
    running = {server.run: server for server in servers if server.state is State.RUNNING}

    async for run, memory in _measure(running):
        server = running[run]
        if server.run is not run or server.state is not State.RUNNING:  # it has ended meanwhile
            continue
        _note(run, memory)
        server.reporter.emit(
            MemorySampled(
                **server.reporter.origin,
                rss=memory.rss,
                processes=memory.processes,
                uptime=round(server.uptime, 3),
                cpu=memory.cpu,
            )
        )


async def note_memory(runs: Iterable[Run | None]) -> None:
    """Note what each run uses, without an event."""
    async for run, memory in _measure(runs):
        if memory.processes:
            _note(run, memory)


async def _measure(runs: Iterable[Run | None]) -> AsyncIterator[tuple[Run, TreeMemory]]:
    """Measure the runs that have a process, by one look at the process table."""
    living = {run: run.process for run in runs if run and run.process and run.exited_at is None}
    if not living:
        return

    processes = next(iter(living)).context.processes
    measured = iter(living)
    with suppress(OSError):  # no free descriptor, say: the next sample will do
        async for memory in processes.memories(list(living.values())):
            yield next(measured), memory


def _note(run: Run, memory: TreeMemory) -> None:
    run.memory.append(MemoryPoint(round(run.uptime, 3), memory.rss, memory.processes, memory.cpu))
    del run.memory[:-_MOST_POINTS]
