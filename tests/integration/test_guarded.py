"""With guard = true nothing of a server outlives hostler, however that ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeAlias

import anyio
import psutil
import pytest
from hostler import Directories, Event, Notice, ProcessSpawnFailed, ServerError, ServerSpec, Supervisor
from hostler.testing import SimulatedHost, run_virtually
from specs import MakeSpec

Marked: TypeAlias = Callable[[str], list[int]]

# A program that hosts a guarded server: hosts.py ENDING FOLDER SWITCHES
PROGRAM = """
import asyncio, os, signal, sys
from pathlib import Path
from specs import QUICK, announced
from hostler import Directories, ServerSpec, Supervisor
from servers import fake_server

ENDINGS = {
    "wait": lambda: asyncio.Event().wait(),
    "os-exit": lambda: os._exit(3),
    "sys-exit": lambda: sys.exit(3),
    "abort": lambda: os.abort(),
    "return": lambda: asyncio.sleep(0),
}

async def main(ending, folder, *switches):
    command = tuple(fake_server("--port", "${server.port}", *switches))
    spec = ServerSpec(name="fake", command=command, plugins=(announced(),), restart=QUICK,
                      cwd=folder, force_kill_timeout=0.2, guard=True)
    directories = Directories(folder / "state", folder / "data", folder / "cache")
    async with Supervisor(spec, directories=directories, namespace="guarded") as supervisor:
        await supervisor["fake"].wait_ready(20)
        print("ready", flush=True)
        await ENDINGS[ending]()

asyncio.run(main(sys.argv[1], Path(sys.argv[2]), *sys.argv[3:]))
"""

SPREADS = ("--spawn-child", "--spawn-session-child", "--double-fork-child", "--children-ignore-term")


@contextmanager
def hosting(ending: str, folder: Path) -> Iterator[subprocess.Popen[str]]:
    """The program, whose server has descendants everywhere."""
    argv = [sys.executable, "-c", PROGRAM, ending, str(folder), *SPREADS, "--first", str(folder / "mark")]
    env = os.environ | {"PYTHONPATH": str(Path(__file__).parents[1] / "support")}
    with subprocess.Popen(
        argv, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=env
    ) as host:
        try:
            yield host
        finally:
            host.kill()


def is_ready(host: subprocess.Popen[str]) -> None:
    assert host.stdout is not None
    while host.stdout.readline() != "ready\n":  # the server's own words come before, when they do
        assert host.poll() is None


def watchdogs_of(pid: int, marked: Marked) -> list[int]:
    return marked(f"watchdog.py {pid} ")


def wait_until_gone(find: Callable[[], list[int]], seconds: float = 10.0) -> None:
    until = time.monotonic() + seconds
    while left := find():
        assert time.monotonic() < until, f"still alive: {left}"
        time.sleep(0.01)


@pytest.mark.requirement("R5")
@pytest.mark.parametrize("ending", ["wait", "os-exit", "sys-exit", "abort", "return"])
def test_no_descendant_outlives_hostler_and_no_watchdog_stays(
    ending: str, tmp_path: Path, marked: Marked
) -> None:
    with hosting(ending, tmp_path) as host:
        is_ready(host)
        if ending == "wait":
            assert len(marked(str(tmp_path / "mark"))) == 5  # with the program itself
            assert len(watchdogs_of(host.pid, marked)) == 1
            host.kill()
        host.wait(20)
        wait_until_gone(lambda: marked(str(tmp_path / "mark")))
        wait_until_gone(lambda: watchdogs_of(host.pid, marked))


@pytest.mark.requirement("R6")
def test_a_hostler_that_is_killed_at_any_moment_leaves_nothing(tmp_path: Path, marked: Marked) -> None:
    for number in range(12):
        folder = tmp_path / str(number)
        folder.mkdir()
        with hosting("wait", folder) as host:
            wait_until_gone(lambda folder=folder: [] if (folder / "state").exists() else [host.pid])  # type: ignore[misc]
            time.sleep(0.01 * number)  # from before the spawn until all descendants are there
            host.kill()
            host.wait(10)
            wait_until_gone(lambda folder=folder: marked(str(folder / "mark")))  # type: ignore[misc]
            wait_until_gone(lambda pid=host.pid: watchdogs_of(pid, marked))  # type: ignore[misc]


def test_a_signal_to_the_whole_terminal_ends_hostler_and_not_its_watchdog_first(
    tmp_path: Path, marked: Marked
) -> None:
    with hosting("wait", tmp_path) as host:
        is_ready(host)
        (watchdog,) = watchdogs_of(host.pid, marked)
        for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
            os.kill(watchdog, number)
        assert watchdogs_of(host.pid, marked) == [watchdog]
        host.send_signal(signal.SIGTERM)  # nothing in the program handles it
        wait_until_gone(lambda: marked(str(tmp_path / "mark")))
        wait_until_gone(lambda: watchdogs_of(host.pid, marked))


# -- while it runs --------------------------------------------------------------------------------


async def test_one_watchdog_serves_all_and_only_those_that_ask_for_it(
    make_spec: MakeSpec, directories: Directories, marked: Marked
) -> None:
    specs = [make_spec(name="a"), make_spec(name="b", guard=True), make_spec(name="c", guard=True)]
    guards = []

    async with Supervisor(specs[0], directories=directories) as supervisor:
        await supervisor.wait_ready(timeout=20)
        assert watchdogs_of(os.getpid(), marked) == []

    async with Supervisor(specs[1:], directories=directories) as supervisor:
        await supervisor.wait_ready(timeout=20)
        guards += watchdogs_of(os.getpid(), marked)
        await supervisor["b"].restart()
        await supervisor.wait_ready(timeout=20)
        assert watchdogs_of(os.getpid(), marked) == guards

    assert len(guards) == 1
    assert not psutil.pid_exists(guards[0])  # nor is it a zombie


async def test_a_watchdog_that_dies_is_told_and_replaced_and_the_servers_go_on(
    make_spec: MakeSpec, directories: Directories, marked: Marked
) -> None:
    events: list[Event] = []

    async with Supervisor(make_spec(guard=True), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        told = server.events()
        supervisor.listen(events.append)
        (first,) = watchdogs_of(os.getpid(), marked)
        os.kill(first, signal.SIGKILL)
        with anyio.fail_after(10):
            notice = await anext(told)
        assert isinstance(notice, Notice)
        assert (notice.topic, notice.level) == ("guard_lost", "warning")
        assert str(first) in notice.text
        with anyio.fail_after(10):
            while watchdogs_of(os.getpid(), marked) in ([], [first]):  # noqa: ASYNC110 - tells no event
                await anyio.sleep(0.01)
        assert server.generation == 1


async def test_without_a_watchdog_a_guarded_server_is_not_started(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = make_spec(guard=True)
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    async with Supervisor(spec, directories=directories) as supervisor:
        with pytest.raises(ServerError) as caught:
            await supervisor["fake"].wait_ready(20)
    assert isinstance(caught.value, ProcessSpawnFailed)
    assert "watchdog" in caught.value.message
    assert "guard = false" in caught.value.context.hint


def test_a_simulated_server_has_no_watchdog(directories: Directories, marked: Marked) -> None:
    async def live() -> None:
        spec = ServerSpec(name="fake", command=("anything",), port=None, guard=True)
        async with SimulatedHost().supervisor(spec, directories=directories) as supervisor:
            await supervisor["fake"].wait_ready(20)
            assert watchdogs_of(os.getpid(), marked) == []

    run_virtually(live)
