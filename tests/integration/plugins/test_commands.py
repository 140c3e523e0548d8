"""The plugin commands, with real programs and a real server."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import anyio
import pytest
from children import lives
from hostler import (
    Directories,
    EnvironmentSetupFailed,
    Event,
    Notice,
    PluginSpec,
    Server,
    State,
    Supervisor,
)
from specs import MakeSpec, announced

SAVE = 'env | sort > "$0.part"; mv "$0.part" "$0"'
Keep = Callable[..., Supervisor]


@pytest.fixture
def events() -> list[Event]:
    return []


@pytest.fixture
def keep(make_spec: MakeSpec, directories: Directories, events: list[Event]) -> Keep:
    def keep_with(*switches: str, **commands: object) -> Supervisor:
        plugins = (announced(), PluginSpec("commands", commands))
        supervisor = Supervisor(make_spec(*switches, plugins=plugins), directories=directories)
        supervisor.listen(events.append)
        return supervisor

    return keep_with


def saving(path: Path) -> list[str]:
    """A command that saves its environment in a file, complete or not at all."""
    return ["sh", "-c", SAVE, str(path)]


def saved(path: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in path.read_text().splitlines() if "=" in line)


def told(events: list[Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, Notice) and event.topic == "command_failed"]


async def until_told(server: Server, events: list[Event]) -> str:
    async for event in server.events():
        if isinstance(event, Notice) and event.topic == "command_failed":
            return event.text
    raise AssertionError("the supervisor has ended")


async def test_a_command_runs_on_each_hook_with_what_is_known_then(keep: Keep, tmp_path: Path) -> None:
    files = {hook: tmp_path / f"{hook}.env" for hook in ("pre_spawn", "on_ready", "on_crash", "on_shutdown")}
    async with keep(**{hook: saving(file) for hook, file in files.items()}) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        first = server.pid
        assert first is not None
        with anyio.fail_after(20):
            while not files["on_ready"].exists():  # noqa: ASYNC110 - it runs beside the server, and would end with this run
                await anyio.sleep(0.01)
        os.kill(first, signal.SIGKILL)
        await server.until(lambda: server.generation == 2)
        await server.wait_ready(20)
        url, second = server.url, server.pid

    before, ready, crash, stop = (saved(file) for file in files.values())
    assert before["HOSTLER_SERVER"] == "fake"
    assert "HOSTLER_URL" not in before
    assert (ready["HOSTLER_STATE"], ready["HOSTLER_URL"]) == ("running", url)
    assert ready["HOSTLER_PORT"] == str(url).rpartition(":")[2]
    assert (crash["HOSTLER_STATE"], crash["HOSTLER_PID"]) == ("crashed", str(first))
    assert (crash["HOSTLER_EXIT"], crash["HOSTLER_SIGNAL"]) == ("killed by SIGKILL", "9")
    assert "HOSTLER_EXIT_CODE" not in crash
    assert (stop["HOSTLER_STATE"], stop["HOSTLER_PID"]) == ("stopping", str(second))
    assert "stop" in stop["HOSTLER_REASON"]
    assert all(env["PWD"] == str(tmp_path) for env in (before, ready, crash, stop))


async def test_a_failed_command_before_the_start_keeps_the_server_down(keep: Keep) -> None:
    async with keep(pre_spawn=["sh", "-c", "echo no database >&2; exit 3"]) as supervisor:
        server = supervisor["fake"]
        with pytest.raises(EnvironmentSetupFailed, match="ended with exit code 3: no database") as failed:
            await server.wait_ready(20)
        assert failed.value.context.details == {"code": 3, "signal": None}
        assert (server.state, server._engine.status.spawned_generation) == (State.FAILED, 0)


async def test_a_program_that_is_missing_before_the_start_keeps_the_server_down(keep: Keep) -> None:
    async with keep(pre_spawn=["no-such-program"]) as supervisor:
        with pytest.raises(Exception, match="no-such-program was not found"):
            await supervisor["fake"].wait_ready(20)


@pytest.mark.parametrize(
    ("argv", "words"),
    [
        (["sh", "-c", "echo lost; exit 1"], "ended with exit code 1: lost"),
        (["sh", "-c", "kill -9 $$$$"], "was killed by signal 9"),
        (["no-such-program"], "cannot be run: no-such-program was not found"),
    ],
)
async def test_a_failed_command_beside_the_server_is_told_and_changes_nothing(
    keep: Keep, events: list[Event], argv: list[str], words: str
) -> None:
    async with keep(on_ready=argv) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        text = told(events)[0] if told(events) else await until_told(server, events)
        assert f"on_ready {words}" in text
        assert server.state is State.RUNNING


async def test_a_command_that_takes_too_long_is_ended_with_all_it_started(
    keep: Keep, events: list[Event], tmp_path: Path
) -> None:
    pids = tmp_path / "pids"
    line = f"sleep 300 & echo $$$$ $! > {pids}.part; mv {pids}.part {pids}; wait"
    async with keep(on_crash=["sh", "-c", line], timeout="500ms") as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        assert server.pid is not None
        os.kill(server.pid, signal.SIGKILL)
        await server.until(lambda: server.generation == 2)
        assert ["timed out" in text for text in told(events)] == [True]
        assert [pid for pid in pids.read_text().split() if lives(int(pid))] == []


async def test_a_command_before_the_stop_meets_a_server_that_still_works(keep: Keep, tmp_path: Path) -> None:
    seen = tmp_path / "seen"
    line = f"kill -0 $HOSTLER_PID && echo alive > {seen}"
    async with keep(on_shutdown=["sh", "-c", line]) as supervisor:
        await supervisor["fake"].wait_ready(20)
    assert seen.read_text() == "alive\n"
