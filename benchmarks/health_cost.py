"""What the health check by event stream costs: CPU per hour of heartbeats, and per 100,000 events.

python benchmarks/health_cost.py [--quick]
"""

from __future__ import annotations

import asyncio
import os
import statistics
import time

from event_server import EVENT
from hostler import Directories, PluginSpec, ServerSpec, Supervisor
from hostler_plugins.sse_health.event_stream import EventStreamParser
from measuring import Row, cpu
from stage import Stage

HEARTBEAT = 10.0  # seconds, as OpenCode sends them


def measure(quick: bool) -> list[Row]:
    with Stage() as stage:
        idle = asyncio.run(_idle(stage, 2 if quick else 3))
        count = 20_000 if quick else 100_000
        events = [asyncio.run(_events(stage, count)) * 100_000 / count for _ in range(1 if quick else 3)]

    parsing = _parsing(count) * 100_000 / count
    taken = statistics.median(events)
    return [
        Row(
            "CPU of an idle event stream, a heartbeat each 10 s",
            f"{idle:.2f} s per hour",
            "",
            "",
            "under 5 s per hour",
            idle < 5,
        ),
        Row(
            "CPU per 100,000 events",
            f"{taken:.2f} s ({min(events):.2f} to {max(events):.2f})",
            f"parser alone: {parsing:.2f} s",
            f"{taken / parsing:.2f}",
        ),
    ]


def _supervisor(stage: Stage, *switches: str) -> Supervisor:
    plugins = (PluginSpec("regex-port"), PluginSpec("sse-health"))
    command = tuple(stage.server(stage.path("stamps"), *switches))
    folder = stage.path("folder")
    spec = ServerSpec(name="web", command=command, cwd=stage.folder, plugins=plugins)
    return Supervisor(spec, directories=Directories(folder / "s", folder / "d", folder / "c"))


async def _idle(stage: Stage, beats: int) -> float:
    """CPU seconds in an hour, from a few whole heartbeats."""
    async with _supervisor(stage, "--heartbeat", str(HEARTBEAT)) as supervisor:
        await supervisor["web"].wait_ready(20)
        await asyncio.sleep(3)
        before = cpu(os.getpid())
        await asyncio.sleep(beats * HEARTBEAT)
        return (cpu(os.getpid()) - before) * 3600 / (beats * HEARTBEAT)


async def _events(stage: Stage, count: int) -> float:
    """CPU seconds from the first to the last of `count` events."""
    async with _supervisor(stage, "--events", str(count)) as supervisor:
        await supervisor["web"].wait_ready(20)
        before = time.process_time()
        while supervisor["web"].event_count <= count:  # noqa: ASYNC110 - a subscription would cost CPU too
            await asyncio.sleep(0.01)
        return time.process_time() - before


def _parsing(count: int) -> float:
    """The same bytes through the parser, in pieces of 64 KiB."""
    parser, data = EventStreamParser(), EVENT * count
    start = time.process_time()
    for at in range(0, len(data), 65536):
        parser.feed(data[at : at + 65536])
    return time.process_time() - start


if __name__ == "__main__":
    from run import alone

    alone(measure)
