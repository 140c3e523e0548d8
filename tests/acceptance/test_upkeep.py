"""What keeps hostler good: tests of three kinds, figures that are measured, memory that does not grow."""

from __future__ import annotations

import asyncio
import gc
import logging
import re
import subprocess
import sys
import tomllib
import tracemalloc
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import anyio
import pytest
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
from hostler.testing import FakeChild, World, run_virtually

ROOT = Path(__file__).parents[2]
MEASURED = {"startup.py": "start-up", "idle.py": "memory", "health_cost.py": "the cost of health checks"}


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


@pytest.mark.requirement("R43")
def test_hostlers_own_memory_does_not_grow_with_restarts_reports_and_lines(
    directories: Directories, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL + 1, "hostler")  # pytest keeps every record
    policy = RestartPolicy(initial_delay=0.1, stable_after=10)
    plugins = (PluginSpec("busy", instance=Busy()),)
    spec = ServerSpec(name="web", command=("web",), plugins=plugins, restart=policy)

    async def main() -> int:
        world = World()
        world.on_child = live_a_minute

        async def held_at(server: Server, generation: int) -> int:
            await server.until(lambda: server.generation >= generation)
            del (
                world.children[:-1],
                world.pump.captures[:-1],
            )  # the world remembers everything, hostler must not
            gc.collect()
            return tracemalloc.get_traced_memory()[0]

        async with world.supervisor(spec, directories=directories) as supervisor:
            before = await held_at(supervisor["web"], 300)
            return await held_at(supervisor["web"], 600) - before

    tracemalloc.start()

    try:
        grown = run_virtually(main)
    finally:
        tracemalloc.stop()

    # Five hours, 300 restarts, 18,000 reports: one run that is kept would be 20 KB, one line each 45 KB.
    assert grown < 40_000


@pytest.mark.requirement("R43")
def test_there_are_tests_of_parts_of_the_whole_and_of_speed() -> None:
    folders = {path.parent.name for path in (ROOT / "tests").rglob("test_*.py")}
    assert {"process", "config", "cli", "plugins", "faults", "acceptance"} <= folders
    runner = (ROOT / "benchmarks" / "run.py").read_text()
    assert [name for name in MEASURED if name.removesuffix(".py") not in runner] == []


@pytest.mark.requirement("R43")
def test_ci_asks_for_a_coverage_of_95_percent() -> None:
    report = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["coverage"]
    assert report["report"]["fail_under"] >= 95
    assert report["run"]["branch"]
    assert re.search(r"^if ! \./dev test --cov\b", (ROOT / ".ci" / "run").read_text(), re.MULTILINE)


@pytest.mark.requirement("R43")
@pytest.mark.parametrize("name", MEASURED, ids=MEASURED.values())
def test_a_benchmark_can_be_run(name: str) -> None:
    done = subprocess.run(
        [sys.executable, str(ROOT / "benchmarks" / name), "--help"],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
