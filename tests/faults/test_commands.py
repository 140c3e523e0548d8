"""Commands that come while others are under way: the last one counts, and there is one process at most."""

from __future__ import annotations

import asyncio
import os
import signal
import threading
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import anyio
import hostler
import pytest
from children import lives
from cli_project import NOTHING, Project, five_plugins
from held_hooks import HeldHook
from hostler import (
    Directories,
    Event,
    PluginSpec,
    ProcessAlreadyRunning,
    RestartPolicy,
    Server,
    ServerError,
    ServerSpec,
    Spawned,
    State,
    Supervisor,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from specs import QUICK, MakeSpec, announced
from supervised_servers import reaches

HANGING = f"{Path(__file__).with_name('hanging_hook.py')}:HangingHook"
SLOW = RestartPolicy(initial_delay=60.0, max_delay=60.0)


@dataclass
class Spawns:
    """Every process that was started, and those that lived still when the next one was."""

    pids: list[int] = field(default_factory=list)
    too_many: list[int] = field(default_factory=list)

    def hear(self, event: Event) -> None:
        if isinstance(event, Spawned):
            self.too_many += [pid for pid in self.pids if lives(pid)]
            self.pids.append(event.pid)


async def all_at_once(*commands: Callable[[], Coroutine[Any, Any, None]]) -> None:
    with anyio.fail_after(20):
        async with anyio.create_task_group() as tasks:
            for command in commands:
                tasks.start_soon(command)


SITUATIONS = {
    State.STARTING: "pre_spawn",
    State.WAITING_READY: "",
    State.RUNNING: "",
    State.STOPPING: "on_shutdown",
    State.CRASHED: "on_crash",
    State.BACKOFF: "",
    State.FAILED: "",
    State.STOPPED: "",
}
in_each_state = pytest.mark.parametrize("state", SITUATIONS, ids=lambda state: state.value)


class Situation:
    """A server that is brought into a state, and held there as long as that is possible."""

    def __init__(self, state: State, make_spec: MakeSpec) -> None:
        self.state = state
        self.spawns = Spawns()
        self._holds = HeldHook(SITUATIONS[state])
        restart = replace(SLOW, start_retries=0, max_restarts=0) if state is State.FAILED else SLOW
        plugins = (announced(), PluginSpec("holds", instance=self._holds))
        self.spec = make_spec("--announce-delay", "0.2", plugins=plugins, restart=restart)

    async def come_about(self, server: Server) -> None:
        if self.state not in {State.STARTING, State.WAITING_READY}:
            await server.wait_ready(20)

        if self.state in {State.CRASHED, State.BACKOFF, State.FAILED}:
            os.kill(server.pid or 0, signal.SIGKILL)
        elif self.state is State.STOPPING:
            server._engine.ask_down()
        elif self.state is State.STOPPED:
            await server.stop()

        await reaches(server, self.state)

    def let_go_soon(self) -> None:
        asyncio.get_running_loop().call_later(0.02, self._holds.release.set)


@in_each_state
async def test_a_thousand_restarts_in_any_state_are_one(
    make_spec: MakeSpec, directories: Directories, state: State
) -> None:
    situation = Situation(state, make_spec)
    async with Supervisor(situation.spec, directories=directories) as supervisor:
        supervisor.listen(situation.spawns.hear)
        server = supervisor["fake"]
        await situation.come_about(server)
        situation.let_go_soon()
        await all_at_once(*[server.restart] * 1000)
        await server.wait_ready(20)
        assert server._engine.run is not None
        assert len(server._engine.run.members()) == 1

    assert len(situation.spawns.pids) == (1 if state is State.STARTING else 2)
    assert situation.spawns.too_many == []


@in_each_state
async def test_starts_from_many_tasks_in_any_state_are_one(
    make_spec: MakeSpec, directories: Directories, state: State
) -> None:
    situation = Situation(state, make_spec)
    async with Supervisor(situation.spec, directories=directories) as supervisor:
        supervisor.listen(situation.spawns.hear)
        server = supervisor["fake"]
        await situation.come_about(server)
        situation.let_go_soon()
        if state is State.RUNNING:
            with pytest.raises(ProcessAlreadyRunning):
                await server.start()
        else:
            await all_at_once(*[server.start] * 20)
        await server.wait_ready(20)

    under_way = state in {State.STARTING, State.WAITING_READY, State.RUNNING}
    assert len(situation.spawns.pids) == (1 if under_way else 2)
    assert situation.spawns.too_many == []


@in_each_state
async def test_a_stop_in_any_state_beats_all_that_was_asked_before_it(
    make_spec: MakeSpec, directories: Directories, state: State
) -> None:
    situation = Situation(state, make_spec)
    async with Supervisor(situation.spec, directories=directories) as supervisor:
        supervisor.listen(situation.spawns.hear)
        server = supervisor["fake"]
        await situation.come_about(server)
        situation.let_go_soon()
        await all_at_once(*[server.restart] * 100, *[server.stop] * 100)
        with anyio.fail_after(20):
            await server.wait_stopped()
        assert server.pid is None
        assert server.state is (State.FAILED if state is State.FAILED else State.STOPPED)  # it is at rest

    assert not any(map(lives, situation.spawns.pids))


async def test_a_thousand_restarts_within_a_second_end_with_one_process_that_is_ready(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spawns = Spawns()

    async with Supervisor(make_spec(), directories=directories) as supervisor:
        supervisor.listen(spawns.hear)
        server = supervisor["fake"]
        began = time.monotonic()
        with anyio.fail_after(20):
            async with anyio.create_task_group() as tasks:
                for number in range(1000):
                    tasks.start_soon(server.restart)
                    await asyncio.sleep(max(0.0, began + number / 1000 - time.monotonic()))
            await server.wait_ready()
        assert server._engine.run is not None
        assert server._engine.run.members() == spawns.pids[-1:]

    assert 1 < len(spawns.pids) < 1000
    assert spawns.too_many == []


def test_commands_from_many_threads_end_in_the_state_that_is_asked_for_last(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spawns = Spawns()
    told: list[Exception] = []

    with hostler.serve(make_spec(), directories=directories) as servers:
        fake = servers["fake"]
        servers.listen(spawns.hear)

        def command(number: int) -> None:
            for turn in range(30):
                try:
                    (fake.restart, fake.start, fake.stop)[(number + turn) % 3]()
                except ServerError as error:
                    told.append(error)

        threads = [threading.Thread(target=command, args=(number,)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
            assert not thread.is_alive()
        with suppress(ProcessAlreadyRunning):
            fake.start()
        fake.wait_ready(20)
        assert [pid for pid in spawns.pids if lives(pid)] == [fake.pid]
        fake.stop()
        assert fake.state is State.STOPPED

    assert {type(error) for error in told} <= {ProcessAlreadyRunning}
    assert spawns.too_many == []
    assert not any(map(lives, spawns.pids))


COMMANDS = st.tuples(
    st.sampled_from(["start", "stop", "restart", "force_stop", "kill"]),
    st.sampled_from([0.0, 0.0, 0.001, 0.02, 0.1]),
)


@pytest.mark.parametrize("last", ["start", "stop", "restart"])
def test_any_commands_at_any_moments_end_in_the_state_that_is_asked_for_last(
    make_spec: MakeSpec, tmp_path: Path, last: str
) -> None:
    counter = iter(range(1_000_000))

    @settings(max_examples=8)
    @given(st.lists(COMMANDS, max_size=25))
    def check(commands: list[tuple[str, float]]) -> None:
        folder = tmp_path / str(next(counter))
        directories = Directories(folder / "state", folder / "data", folder / "cache")
        asyncio.run(obeys([*commands, (last, 0.0)], make_spec(restart=QUICK), directories))

    check()


async def obeys(commands: list[tuple[str, float]], spec: ServerSpec, directories: Directories) -> None:
    """Give commands without waiting for them; then the last one must be what came of it."""
    spawns = Spawns()

    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(spawns.hear)
        server = supervisor["fake"]
        with anyio.fail_after(30):
            async with anyio.create_task_group() as tasks:
                for name, seconds in commands:
                    tasks.start_soon(give, server, name)
                    await asyncio.sleep(seconds)
            if commands[-1][0] == "stop":
                await server.wait_stopped()
            else:
                await server.wait_ready()
        living = [pid for pid in spawns.pids if lives(pid)]
        assert living == ([] if commands[-1][0] == "stop" else [server.pid])

    assert spawns.too_many == []
    assert not any(map(lives, spawns.pids))


async def give(server: Server, name: str) -> None:
    if name == "kill":
        if server.pid is not None:
            with suppress(ProcessLookupError):
                os.kill(server.pid, signal.SIGKILL)
    else:
        with suppress(ServerError):  # it runs already, or failed: the end tells what matters
            await getattr(server, name)()


WHILE = {
    "starting": ("pre_spawn", ()),
    "waiting_ready": (
        "",
        (
            "--port",
            "0",
            "--no-announce",
        ),
    ),
    "stopping": ("on_shutdown", ("--ignore-term",)),
    "crashed": ("on_crash", ("--exit-after", "0")),
    "backoff": ("", ("--exit-after", "0")),
}


@pytest.mark.parametrize("state", WHILE)
def test_a_signal_to_hostler_in_any_state_ends_it_soon_with_nothing_left(world: Project, state: str) -> None:
    hook, switches = WHILE[state]
    plugins = {**five_plugins(), "holding": {"use": HANGING, "hook": hook, "seconds": 1.0}}
    restart = {"initial_delay": "60s", "max_delay": "60s"}
    file = world.fake(*switches, plugins=plugins, restart=restart, force_kill_timeout="300ms")
    running = world.hostler("run", file, "--json")

    if state == "stopping":
        running.event(event="state", state="running")
        running.signal(signal.SIGTERM)

    running.event(event="state", state=state)
    began = time.monotonic()
    assert running.stop(signal.SIGTERM) == 0
    assert time.monotonic() - began < 5
    assert running.events[-1]["state"] == "stopped"
    assert world.what_is_left() == NOTHING
