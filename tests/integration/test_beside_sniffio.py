"""Beside sniffio anyio knows its loop by the running task; what hostler calls outside of one gets along.

Without sniffio these pass by themselves: .ci/run has them once more where it is installed.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import anyio
import pytest
import uvloop
from hostler import Directories, Endpoint, Event, Launch, Line, PluginSpec, ServerSpec, Supervisor, hookimpl
from hostler.testing import FakeChild, SimulatedHost, run_virtually
from specs import Announced, MakeSpec


@dataclass(eq=False)
class Timing(Announced):
    """Asks anyio for the time wherever hostler calls it outside of a task."""

    times: dict[str, float] = field(default_factory=dict)

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        launch.follow(self.read)

    def read(self, line: Line) -> bool:
        self.times["follower"] = anyio.current_time()
        return True

    @hookimpl
    def parse_port(self, line: str) -> Endpoint | None:
        self.times["parse_port"] = anyio.current_time()
        return super().parse_port(line)

    def hear(self, event: Event) -> None:
        self.times["listener"] = anyio.current_time()


def listen_and_tell(child: FakeChild) -> None:
    child.listen()
    child.announce()


def spec_with(timing: Timing, make_spec: MakeSpec) -> ServerSpec:
    return make_spec(plugins=(PluginSpec("timing", instance=timing),))


async def be_ready(supervisor: Supervisor, timing: Timing) -> None:
    supervisor.listen(timing.hear)
    async with supervisor:
        await supervisor["fake"].wait_ready(20)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run, anyio.run], ids=["asyncio", "uvloop", "anyio"])
def test_what_hostler_calls_outside_of_a_task_may_ask_anyio_for_the_time(
    run: Callable[[Any], None], make_spec: MakeSpec, directories: Directories
) -> None:
    timing = Timing()

    async def main() -> None:
        await be_ready(Supervisor(spec_with(timing, make_spec), directories=directories), timing)

    run(main if run is anyio.run else main())
    assert sorted(timing.times) == ["follower", "listener", "parse_port"]


def test_the_time_that_they_get_is_the_virtual_one(make_spec: MakeSpec, directories: Directories) -> None:
    timing = Timing()
    now: list[float] = []

    async def main() -> None:
        world = SimulatedHost()
        world.on_child = listen_and_tell
        await be_ready(world.supervisor(spec_with(timing, make_spec), directories=directories), timing)
        now.append(anyio.current_time())

    run_virtually(main)
    assert sorted(timing.times) == ["follower", "listener", "parse_port"]
    assert max(timing.times.values()) <= now[0] < min(timing.times.values()) + 10
