"""Children that misbehave: what becomes of each, and what hostler says of it."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import anyio
import pytest
from children import lives
from hostler import (
    Directories,
    Event,
    ExitCause,
    Exited,
    PluginSpec,
    Server,
    ServerCrashed,
    State,
    StateChanged,
    Supervisor,
)
from leaks import assert_no_leaks
from specs import QUICK, MakeSpec, announced, worker
from supervised_servers import exits_of, reaches

Marked: TypeAlias = Callable[[str], list[int]]
PYTHON = (sys.executable, "-I", "-S", "-c")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")


@pytest.fixture(autouse=True)
def no_trace_is_left(directories: Directories) -> Iterator[None]:
    with assert_no_leaks(directories):
        yield


async def comes_back(server: Server, after: int = 1) -> None:
    with anyio.fail_after(30):
        await server.until(lambda: server.generation > after)
    await server.wait_ready(20)


def eventually(condition: Callable[[], bool], seconds: float = 10.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()


# -- those that do not end, or too early --------------------------------------------------------


@pytest.mark.requirement("R4")
async def test_one_that_ignores_sigterm_is_killed_after_the_grace_period(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec("--ignore-term", force_kill_timeout=0.3)
    async with Supervisor(spec, directories=directories) as supervisor:
        exits = exits_of(supervisor)
        await supervisor["fake"].wait_ready(20)
        began = time.monotonic()
        await supervisor["fake"].stop()
        assert 0.3 <= time.monotonic() - began < 2

    assert [(exit_.signal, exit_.killed, exit_.cause) for exit_ in exits] == [
        (signal.SIGKILL, True, ExitCause.STOPPED)
    ]


@pytest.mark.parametrize("code", [0, 1])
async def test_one_that_ends_at_once_again_and_again_is_failed_soon(
    make_spec: MakeSpec, directories: Directories, code: int
) -> None:
    spec = make_spec("--print-error", "no such luck", "--exit-after", "0", "--exit-code", str(code))
    async with Supervisor(spec, directories=directories) as supervisor:
        exits = exits_of(supervisor)
        with pytest.raises(ServerCrashed, match=f"exit code {code}") as caught:
            await supervisor["fake"].wait_ready(20)
        assert supervisor["fake"].state is State.FAILED
    assert [exit_.code for exit_ in exits] == [code, code]
    assert "no such luck" in caught.value.context.stderr


@pytest.mark.parametrize("code", [0, 1])
async def test_a_worker_that_ends_in_a_loop_uses_up_its_restarts(
    make_spec: MakeSpec, directories: Directories, code: int
) -> None:
    always = replace(QUICK, policy=type(QUICK.policy)("always"), max_restarts=3)
    spec = worker(make_spec, "sh", "-c", f"exit {code}", restart=always)
    async with Supervisor(spec, directories=directories) as supervisor:
        exits = exits_of(supervisor)
        await reaches(supervisor["fake"], State.FAILED)
    assert [exit_.code for exit_ in exits] == [code] * 4


async def test_one_that_crashes_just_after_it_looks_healthy_does_not_get_its_restarts_back(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugins = (announced(), PluginSpec("sse-health"))
    policy = replace(QUICK, max_restarts=3, stable_after=0.4)
    spec = make_spec("--crash-when-ready", "0.1", plugins=plugins, restart=policy)
    moves: list[StateChanged] = []

    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(lambda event: moves.append(event) if isinstance(event, StateChanged) else None)
        await reaches(supervisor["fake"], State.FAILED)

    assert [move.state for move in moves].count(State.RUNNING) == 4
    assert (moves[-1].state, moves[-1].reason[:26]) == (State.FAILED, "gave up after 3 restarts: ")


# -- those that leave others behind -----------------------------------------------------------


SPREADS = ("--spawn-child", "--spawn-session-child", "--double-fork-child", "--children-ignore-term")


async def test_forks_in_sessions_of_their_own_and_without_a_parent_are_stopped_with_it(
    make_spec: MakeSpec, directories: Directories, marked: Marked, tmp_path: Path
) -> None:
    spec = make_spec(*SPREADS, "--first", str(tmp_path / "mark"), force_kill_timeout=0.3)
    async with Supervisor(spec, directories=directories) as supervisor:
        await supervisor["fake"].wait_ready(20)
        assert len(marked(str(tmp_path / "mark"))) == 4
        await supervisor["fake"].stop()
        assert marked(str(tmp_path / "mark")) == []


async def test_forks_of_one_that_was_killed_are_gone_before_it_is_restarted(
    make_spec: MakeSpec, directories: Directories, marked: Marked, tmp_path: Path
) -> None:
    spec = make_spec(*SPREADS, "--first", str(tmp_path / "mark"), force_kill_timeout=0.2)
    left: list[list[int]] = []

    def look(event: Event) -> None:
        if isinstance(event, Exited):
            left.append(marked(str(tmp_path / "mark")))

    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(look)
        await supervisor["fake"].wait_ready(20)
        os.kill(supervisor["fake"].pid or 0, signal.SIGKILL)
        await comes_back(supervisor["fake"])
        assert left == [[]]


HIDES = """
import os, sys, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        os.closerange(0, 3)
        time.sleep(300)
    os._exit(0)
os.wait()
print("hidden", flush=True)
time.sleep(300)
"""


async def test_one_that_forked_twice_and_closed_all_is_found_by_its_mark(
    make_spec: MakeSpec, directories: Directories, marked: Marked, tmp_path: Path
) -> None:
    mark = str(tmp_path / "mark")
    async with Supervisor(worker(make_spec, *PYTHON, HIDES, mark), directories=directories) as supervisor:
        lines = supervisor["fake"].lines()
        await supervisor["fake"].wait_ready(20)
        with anyio.fail_after(10):
            assert (await anext(lines)).text == "hidden"
        assert len(marked(mark)) == 2
        await supervisor["fake"].stop()
        assert marked(mark) == []


LEAVES_A_GRANDCHILD = """
import os, sys, time
print("here", flush=True)
if os.fork() == 0:
    os.setsid()
    time.sleep(300)
time.sleep(0.3)
os._exit(7)
"""


async def test_a_grandchild_that_holds_stdout_does_not_hide_the_end(
    make_spec: MakeSpec, directories: Directories, marked: Marked, tmp_path: Path
) -> None:
    never = replace(QUICK, max_restarts=0)
    spec = worker(make_spec, *PYTHON, LEAVES_A_GRANDCHILD, str(tmp_path / "mark"), restart=never)
    async with Supervisor(spec, directories=directories) as supervisor:
        exits = exits_of(supervisor)
        began = time.monotonic()
        await reaches(supervisor["fake"], State.FAILED)
        assert time.monotonic() - began < 3
        assert marked(str(tmp_path / "mark")) == []

    assert [(exit_.code, exit_.stdout) for exit_ in exits] == [(7, "here\n")]


async def test_one_that_closes_its_pipes_goes_on_and_costs_nothing(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec("--close-pipes"), directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        await anyio.sleep(0.2)
        used = time.process_time()
        await anyio.sleep(0.5)
        assert time.process_time() - used < 0.2
        assert (server.state, server.generation) == (State.RUNNING, 1)
        await server.stop()


# -- those that hang --------------------------------------------------------------------------


async def test_one_that_stops_itself_is_noticed_as_hung_and_replaced(
    make_spec: MakeSpec, directories: Directories
) -> None:
    health = PluginSpec(
        "sse-health",
        {
            "stall_timeout": "300ms",
            "reconnect": "50ms",
            "connect_timeout": "300ms",
            "first_event_timeout": "300ms",
        },
    )
    spec = make_spec(
        "--heartbeat", "0.1", plugins=(announced(), health), force_kill_timeout=0.3, max_connection_failures=2
    )
    async with Supervisor(spec, directories=directories) as supervisor:
        exits = exits_of(supervisor)
        await supervisor["fake"].wait_ready(20)
        os.kill(supervisor["fake"].pid or 0, signal.SIGSTOP)
        await comes_back(supervisor["fake"])

    assert exits[0].cause is ExitCause.UNHEALTHY
    assert exits[0].killed
    assert exits[0].unhealthy is not None
    assert exits[0].error is not None
    assert "does not answer" in exits[0].error.message


@pytest.mark.parametrize(
    ("switches", "grace", "killed"), [((), 20.0, False), (("--ignore-term",), 0.5, True)]
)
async def test_one_that_has_stopped_itself_is_stopped_all_the_same(
    make_spec: MakeSpec, directories: Directories, switches: tuple[str, ...], grace: float, killed: bool
) -> None:
    async with Supervisor(
        make_spec(*switches, force_kill_timeout=grace), directories=directories
    ) as supervisor:
        exits, server = exits_of(supervisor), supervisor["fake"]
        await server.wait_ready(20)
        os.kill(server.pid or 0, signal.SIGSTOP)
        await server.stop()
        assert server.state is State.STOPPED

    # It was woken: SIGTERM was enough for the one that obeys.
    assert [end.signal == signal.SIGKILL for end in exits] == [killed]


# Run as root without CAP_KILL: its server belongs to another user and cannot be signalled.
WITHOUT_THE_RIGHT_TO_KILL = """
import anyio, sys
from pathlib import Path
from hostler import Directories, ForceKillTimeout, ServerSpec, Supervisor

async def main(folder):
    spec = ServerSpec(name="fake", command=("sleep", "300"), port=None, cwd="/", user="nobody",
                      force_kill_timeout=0.1)
    directories = Directories(folder / "state", folder / "data", folder / "cache")
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        await server.wait_ready(20)
        while not Path(f"/proc/{server.pid}").stat().st_uid:  # before that, it may be signalled
            await anyio.sleep(0.01)
        try:
            await server.stop()
        except ForceKillTimeout as error:
            pids = error.context.details["pids"]
            print(server.pid, *pids, server.state.value, error.message, sep="|", flush=True)
        with anyio.fail_after(20):
            await server.wait_stopped()
        print(server.state.value, flush=True)

anyio.run(main, Path(sys.argv[1]))
"""

START_AGAIN = """
import sys
from pathlib import Path

import anyio
from hostler import Directories, ServerError, ServerSpec, Supervisor


async def main(folder):
    spec = ServerSpec(name="fake", command=("sleep", "300"), port=None, cwd="/", user="nobody",
                      restart={"policy": "never", "start_retries": 0})
    directories = Directories(folder / "state", folder / "data", folder / "cache")
    async with Supervisor(spec, directories=directories, namespace="one") as supervisor:
        print(supervisor["fake"].pid, flush=True)
        try:
            await supervisor["fake"].wait_ready(20)
            print(supervisor["fake"].pid, flush=True)
            sys.stdin.read()
        except ServerError as error:
            print(type(error).__name__, error.message, sep="|", flush=True)

anyio.run(main, Path(sys.argv[1]))
"""


@needs_root
def test_what_a_killed_hostler_left_and_cannot_be_killed_keeps_the_next_start_from_a_second_one(
    tmp_path: Path,
) -> None:
    limited = ["setpriv", "--bounding-set=-kill", "--inh-caps=-kill"]
    argv = [*limited, sys.executable, "-c", START_AGAIN, str(tmp_path)]
    streams = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(argv, **streams) as host:  # type: ignore[call-overload]
        _, pid = host.stdout.readline(), int(host.stdout.readline())
        host.kill()

    try:
        assert lives(pid), "the kernel does not end it: it changed its user"
        told = rf"ForceKillTimeout\|a killed hostler left .* cannot end them: pid {pid}"
        after = subprocess.run(argv, stdout=subprocess.PIPE, text=True, timeout=60, check=False)
        assert re.search(told, after.stdout)
    finally:
        os.kill(pid, signal.SIGKILL)

    with subprocess.Popen(argv[len(limited) :], **streams) as host:  # type: ignore[call-overload]
        assert int(host.communicate(timeout=60)[0].split()[1]) != pid, "it starts when that one is gone"


@needs_root
def test_one_that_cannot_be_killed_is_told_by_pid_and_not_called_stopped(tmp_path: Path) -> None:
    argv = ["setpriv", "--bounding-set=-kill", "--inh-caps=-kill", sys.executable, "-c"]
    argv += [WITHOUT_THE_RIGHT_TO_KILL, str(tmp_path)]
    with subprocess.Popen(argv, stdout=subprocess.PIPE, text=True) as host:
        assert host.stdout is not None
        pid, told, state, message = host.stdout.readline().rstrip().split("|")
        try:
            assert told == pid
            assert state == "stopping"
            assert f"may not signal processes of another user (65534): pid {pid}" in message
            assert lives(int(pid))
        finally:
            os.kill(int(pid), signal.SIGKILL)
        assert host.stdout.readline() == "stopped\n"
        assert host.wait(20) == 0
