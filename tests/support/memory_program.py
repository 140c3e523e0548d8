"""How much memory hostler holds more after 150 further restarts: `memory_program.py FOLDER`.

A program of its own, since pytest keeps what is logged, and coverage what is run.
"""

from __future__ import annotations

import asyncio
import gc
import sys
import tracemalloc
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import anyio
from hostler import (
    Directories,
    Healthy,
    PluginSpec,
    Report,
    RestartPolicy,
    Server,
    ServerSpec,
    ServerView,
    hookimpl,
)
from hostler.testing import FakeChild, SimulatedHost, run_virtually


@dataclass(eq=False)
class Busy:
    """Reports each second and tells something at each start."""

    @hookimpl
    async def health_check(self) -> AsyncGenerator[Report, None]:
        while True:
            yield Healthy()
            await anyio.sleep(1)

    @hookimpl
    async def on_ready(self, server: ServerView) -> None:
        server.notice("greeting", "hello")


def live_a_minute(child: FakeChild) -> None:
    child.announce()
    child.listen()
    asyncio.get_running_loop().call_later(60, child.exit, 1)
    for number in range(50):
        child.say(f"line {number} " + "x" * 100)


async def lead(folder: Path) -> int:
    """Five hours, 300 restarts, 18,000 reports: what is held more at the end than half-way, in bytes."""
    world = SimulatedHost()
    world.on_child = live_a_minute
    policy = RestartPolicy(initial_delay=0.1, stable_after=10)
    plugins = (PluginSpec("busy", instance=Busy()),)
    spec = ServerSpec(name="web", command=("web",), plugins=plugins, restart=policy)
    directories = Directories(folder / "state", folder / "data", folder / "cache")

    async def held_at(server: Server, generation: int) -> int:
        await server.until(lambda: server.generation >= generation)
        del (
            world.children[:-1],
            world.output.captures[:-1],
        )  # the world keeps everything, hostler must not
        gc.collect()
        return tracemalloc.get_traced_memory()[0]

    async with world.supervisor(spec, directories=directories) as supervisor:
        before = await held_at(supervisor["web"], 150)
        return await held_at(supervisor["web"], 300) - before


if __name__ == "__main__":
    tracemalloc.start()
    print(run_virtually(lambda: lead(Path(sys.argv[1]))))
