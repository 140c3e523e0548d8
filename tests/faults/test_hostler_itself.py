"""hostler itself is hit: by signals, by its plugins, by a host that blocks it, by clocks and long sleeps."""

from __future__ import annotations

import itertools
import json
import signal
import sys
import time
from pathlib import Path

import pytest
from cli_project import NOTHING, Project, eventually, five_plugins

HANGING = f"{Path(__file__).with_name('hanging_hook.py')}:HangingHook"


def held(world: Project, hook: str, *switches: str, seconds: float = 60.0, **keys: str) -> Path:
    """A configuration of a fake server with all five plugins, and one that holds it up in a hook."""
    holding = {"use": HANGING, "hook": hook, "seconds": seconds}
    return world.fake(*switches, plugins={**five_plugins(), "holding": holding}, **keys)


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGABRT, signal.SIGSEGV])
def test_a_signal_that_ends_hostler_without_a_word_takes_the_server_along(
    world: Project, number: signal.Signals
) -> None:
    file = world.fake("--spawn-session-child", "--children-ignore-term", force_kill_timeout="200ms")
    running = world.start(
        ["prlimit", "--core=0", sys.executable, "-m", "hostler.cli", "run", str(file), "--json"]
    )
    server = running.event(event="state", state="running")["pid"]
    (child,) = (pid for pid in world.processes() if pid != server)
    assert running.stop(number) == -number
    eventually(lambda: list(world.processes()) == [child])

    again = world.hostler("run", file, "--json")
    assert again.event(event="notice", topic="orphans_removed")["details"]["pids"] == [child]
    again.event(event="state", state="running")
    assert again.stop(signal.SIGTERM) == 0
    assert world.what_is_left() == NOTHING


def test_a_hostler_that_is_killed_at_any_moment_of_a_start_is_cleaned_up_behind(world: Project) -> None:
    file = world.fake("--spawn-session-child", "--children-ignore-term", force_kill_timeout="200ms")

    for moment in range(7):
        running = world.hostler("run", file, "--json")
        running.event(event="state", state="starting")
        time.sleep(moment * 0.02)  # into the preparing, the spawn, the waiting, the running
        running.stop(signal.SIGKILL)

    last = world.hostler("run", file, "--json")
    server = last.event(event="state", state="running")["pid"]
    assert len(world.processes()) == 2
    assert server in world.processes()
    assert last.stop(signal.SIGTERM) == 0
    assert world.what_is_left() == NOTHING


def test_what_was_made_for_a_start_is_removed_though_hostler_was_killed_before_the_spawn(
    world: Project,
) -> None:
    running = world.hostler("run", held(world, "pre_spawn"), "--json")
    eventually(lambda: temporary_paths(world) != [])
    (folder,) = temporary_paths(world)
    eventually(folder.exists)
    running.stop(signal.SIGKILL)
    assert folder.exists()
    again = world.hostler("run", world.fake(), "--json")
    again.event(event="state", state="running")
    assert not folder.exists()
    assert again.stop(signal.SIGTERM) == 0
    assert world.what_is_left() == NOTHING


def temporary_paths(world: Project) -> list[Path]:
    """What the run records say is to be removed."""
    paths = [*(world.directories.state / "runs").glob("*.json")]
    return [
        Path(name) for path in paths for name in json.loads(path.read_text() or "{}").get("temporary", [])
    ]


@pytest.mark.parametrize("hook", ["pre_spawn", "on_ready", "on_shutdown"])
def test_two_signals_at_once_in_the_middle_of_a_hook_leave_nothing(world: Project, hook: str) -> None:
    running = world.hostler("run", held(world, hook, "--spawn-session-child"), "--json")
    running.event(event="state", state="starting" if hook == "pre_spawn" else "running")
    began = time.monotonic()
    running.signal(signal.SIGINT)

    if hook == "on_shutdown":
        running.event(event="state", state="stopping")

    assert running.stop(signal.SIGINT) == 0
    assert time.monotonic() - began < 5
    assert world.what_is_left() == NOTHING


def test_a_storm_of_signals_leaves_nothing(world: Project) -> None:
    running = world.hostler("run", world.fake("--spawn-session-child", "--term-delay", "0.2"), "--json")
    running.event(event="state", state="running")

    numbers = itertools.cycle((signal.SIGINT, signal.SIGTERM, signal.SIGHUP))

    while running.process.poll() is None:  # to the very end, and into the end of the interpreter
        running.signal(next(numbers))
        time.sleep(0.001)

    assert running.end() == 0
    assert running.err == ["killing what is left"]
    assert world.what_is_left() == NOTHING


def test_a_ctrl_c_before_anything_is_started_ends_hostler_without_a_traceback(world: Project) -> None:
    argv = [sys.executable, "-X", "importtime", "-m", "hostler.cli", "run", str(world.fake())]
    for moment in range(8):
        running = world.start(argv)
        running.line(r"\| +hostler\.config$")  # what `hostler run` imports first
        time.sleep(moment * 0.02)
        assert running.stop(signal.SIGINT) in {0, -signal.SIGINT}
        assert [line for line in running.err if not line.startswith("import time:")] == []
        assert world.what_is_left() == NOTHING
