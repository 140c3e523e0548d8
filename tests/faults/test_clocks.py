"""Clocks that jump, and machines that sleep."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cli_project import NOTHING, Project, five_plugins

BEATS = ("--heartbeat", "0.1")


@dataclass
class WallClock:
    """What a preloaded library makes of the wall clock of hostler; the monotonic one goes on as it is."""

    library: Path
    file: Path

    def is_wrong_by(self, seconds: int) -> None:
        unfinished = self.file.with_suffix(".new")
        unfinished.write_text(str(seconds))
        unfinished.rename(self.file)

    @property
    def variables(self) -> dict[str, str]:
        return {"LD_PRELOAD": str(self.library), "CLOCK_SHIFT": str(self.file)}


@pytest.fixture
def wall_clock(tmp_path: Path) -> WallClock:
    compiler = shutil.which("cc")
    if compiler is None or sys.platform != "linux":
        pytest.skip("the clock of one process alone is changed by a preloaded library, which cc makes")

    library = tmp_path / "wall_clock.so"
    source = Path(__file__).with_name("wall_clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(source)], check=True)
    clock = WallClock(library, tmp_path / "shift")
    clock.is_wrong_by(0)
    return clock


@pytest.mark.parametrize("shift", [-3600, 400 * 24 * 3600])
def test_a_clock_that_is_set_changes_no_deadline_no_delay_and_no_duration(
    world: Project, wall_clock: WallClock, shift: int
) -> None:
    restart = {"initial_delay": "400ms", "max_delay": "400ms"}
    file = world.fake("--ignore-term", "--announce-delay", "0.3", restart=restart, force_kill_timeout="400ms")
    began = time.monotonic()
    running = world.hostler("run", file, "--json", **wall_clock.variables)
    running.event(event="state", state="waiting_ready")
    wall_clock.is_wrong_by(shift)
    ready = running.event(event="state", state="running", generation=1)
    assert abs(off_by(ready) - shift) < 60
    assert 0 < ready["seconds"] < 20

    wall_clock.is_wrong_by(0)
    os.kill(ready["pid"], signal.SIGKILL)
    assert 0 < running.event(event="exit")["uptime"] < 20
    running.event(event="state", state="backoff")
    wall_clock.is_wrong_by(shift)
    assert 0 < running.event(event="state", state="running", generation=2)["seconds"] < 20

    running.signal(signal.SIGTERM)
    running.event(event="state", state="stopping")
    wall_clock.is_wrong_by(2 * shift)
    stopping = time.monotonic()
    assert running.end() == 0
    assert 0.3 < time.monotonic() - stopping < 5
    assert running.event(event="exit")["signal"] == signal.SIGKILL
    assert time.monotonic() - began < 20
    assert world.what_is_left() == NOTHING


def off_by(event: dict[str, Any]) -> float:
    """By how many seconds the time of an event is wrong."""
    return (datetime.fromisoformat(event["time"]) - datetime.now(UTC)).total_seconds()


SLEEPY = {"sse-health": {"stall_timeout": "400ms", "reconnect": "20ms", "max_reconnect": "50ms"}}


def sleeps(pids: list[int], seconds: float) -> None:
    """What a laptop does to its processes, and a debugger or a full machine to one of them."""
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(seconds)
    for pid in reversed(pids):
        os.kill(pid, signal.SIGCONT)


@pytest.mark.parametrize("with_its_server", [False, True])
def test_a_hostler_that_slept_finds_its_server_as_well_as_before(
    world: Project, with_its_server: bool
) -> None:
    plugins = {**five_plugins(), **SLEEPY}
    running = world.hostler("run", world.fake(*BEATS, plugins=plugins, max_connection_failures=1), "--json")
    server = running.event(event="state", state="running")["pid"]

    sleeps([running.process.pid, *([server] if with_its_server else [])], 1.5)
    time.sleep(0.3)

    assert running.stop(signal.SIGTERM) == 0
    assert {event["healthy"] for event in running.events if event["event"] == "health"} == {True}
    assert [event["generation"] for event in running.events if event.get("state") == "running"] == [1]
    assert world.what_is_left() == NOTHING


def test_a_hostler_that_slept_through_the_start_of_its_server_takes_it_as_started(world: Project) -> None:
    running = world.hostler("run", world.fake("--announce-delay", "1", startup_timeout="5s"), "--json")
    running.event(event="state", state="waiting_ready")
    sleeps([running.process.pid], 6.0)
    assert running.event(event="state", state="running")["generation"] == 1
    assert running.stop(signal.SIGTERM) == 0


def test_a_hostler_that_slept_through_the_end_of_its_server_does_not_kill_it(world: Project) -> None:
    running = world.hostler("run", world.fake("--term-delay", "0.3", force_kill_timeout="1s"), "--json")
    running.event(event="state", state="running")
    running.signal(signal.SIGTERM)
    running.event(event="state", state="stopping")
    time.sleep(0.1)
    sleeps([running.process.pid], 1.5)
    assert running.end() == 0
    assert running.event(event="exit")["signal"] == signal.SIGTERM
    assert world.what_is_left() == NOTHING
