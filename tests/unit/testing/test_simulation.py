"""What hostler.testing promises to those who test with it."""

from __future__ import annotations

import asyncio
import inspect
import itertools
import signal
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from math import inf
from pathlib import Path

import anyio
import pytest
from hostler import (
    Directories,
    Endpoint,
    ForceKillTimeout,
    Healthy,
    Launch,
    PluginSpec,
    PortInUse,
    PortParsingFailed,
    ProcessSpawnFailed,
    Report,
    ServerSpec,
    State,
    StopSignal,
    Unhealthy,
    hookimpl,
    testing,
)
from hostler.concurrency.threads import run_in_thread
from hostler.process.output.capture import Capture, OutputReader
from hostler.process.system import Processes
from hostler.testing import FakeChild, SimulatedHost, Stalled, run_virtually, settle
from hostler.testing.simulation.output import FakeCapture, FakeOutputReader


@pytest.mark.parametrize(
    ("deprecated", "current"),
    [("StandIn", "FakeServerContext"), ("Told", "RecordedNotice"), ("World", "SimulatedHost")],
)
def test_the_old_names_are_still_importable(deprecated: str, current: str) -> None:
    assert getattr(testing, deprecated) is getattr(testing, current)


def test_an_hour_takes_no_time() -> None:
    async def main() -> float:
        began = anyio.current_time()
        await anyio.sleep(3600)
        return anyio.current_time() - began

    began = time.monotonic()
    assert run_virtually(main) == pytest.approx(3600)
    assert time.monotonic() - began < 5


def test_timers_come_in_their_order() -> None:
    came = []

    async def sleep(seconds: float) -> None:
        await anyio.sleep(seconds)
        came.append(seconds)

    async def main() -> None:
        await asyncio.gather(*(sleep(seconds) for seconds in (3, 1, 86_400 * 3, 2)))

    run_virtually(main)
    assert came == [1, 2, 3, 86_400 * 3]


def test_time_stands_still_while_blocking_work_is_done() -> None:
    async def main() -> float:
        began = anyio.current_time()
        with anyio.fail_after(1):  # it would be over at once
            await run_in_thread(time.sleep, 0.05)
        return anyio.current_time() - began

    assert run_virtually(main) == 0


def test_settling_waits_for_everything_but_time() -> None:
    done = []

    async def work() -> None:
        for step in range(5):
            await asyncio.sleep(0)
            done.append(step)
        await asyncio.sleep(1)
        done.append(99)

    async def main() -> None:
        task = asyncio.create_task(work())
        began = anyio.current_time()
        await settle()
        assert done == [0, 1, 2, 3, 4]
        assert anyio.current_time() == began
        await task

    run_virtually(main)


def test_a_deadlock_is_an_error_that_names_who_waits() -> None:
    async def main() -> None:
        asyncio.create_task(asyncio.Event().wait(), name="the one who waits")  # noqa: RUF006
        await asyncio.Event().wait()

    with pytest.raises(Stalled, match="the one who waits"):
        run_virtually(main)


def test_tasks_that_keep_each_other_busy_for_ever_are_an_error() -> None:
    async def main() -> None:
        for _ in itertools.count():
            await asyncio.sleep(0)

    with pytest.raises(Stalled, match="turns"):
        run_virtually(main)


async def test_settling_on_a_real_loop_is_refused() -> None:
    with pytest.raises(TypeError, match="run_virtually"):
        await settle()


# -- the fakes stand in for everything --------------------------------------------------------------


def methods(kind: type) -> set[str]:
    return {name for name, value in vars(kind).items() if inspect.isfunction(value) and name[0] != "_"}


@pytest.mark.parametrize(
    ("real", "fake"), [(Processes, SimulatedHost), (OutputReader, FakeOutputReader), (Capture, FakeCapture)]
)
def test_no_method_of_the_real_one_is_left(real: type, fake: type) -> None:
    """One that is not overridden would act on the machine that runs the tests."""
    assert methods(real) - {"open_pipes"} <= methods(fake)


def a_spec(*plugins: object, **fields: object) -> ServerSpec:
    given = [PluginSpec(f"p{number}", instance=plugin) for number, plugin in enumerate(plugins)]
    made: dict[str, object] = {
        "name": "simulated",
        "command": ("x",),
        "cwd": Path("/"),
        "plugins": tuple(given),
    }
    return ServerSpec(**(made | fields))  # type: ignore[arg-type]


def test_a_server_lives_an_hour_and_its_crash_costs_no_time(directories: Directories) -> None:
    async def main() -> None:
        world = SimulatedHost()
        world.on_child = FakeChild.listen

        async with world.supervisor(a_spec(), directories=directories) as supervisor:
            server = supervisor["simulated"]
            await server.wait_ready(5)
            await anyio.sleep(3600)
            assert server.uptime == pytest.approx(3600)
            assert server.memory > 0
            world.children[-1].die(signal.SIGSEGV)
            await settle()
            assert server.state is State.BACKOFF
            await anyio.sleep(0.5)
            await server.wait_ready(5)
            assert server.uptime < 1
            assert [child.alive() for child in world.children_of("simulated")] == [False, True]

        assert world.children[-1].signals == [signal.SIGTERM]

    run_virtually(main)


@dataclass(eq=False)
class Polling:
    """A health plugin as anybody writes it: it asks every half minute."""

    well: bool = True

    @hookimpl
    async def health_check(self, endpoint: Endpoint) -> AsyncIterator[Report]:
        while True:
            yield Healthy() if self.well else Unhealthy("it coughs")
            await anyio.sleep(30)


def test_a_plugin_that_asks_twice_a_minute_is_tested_for_an_hour(directories: Directories) -> None:
    plugin = Polling()

    async def main() -> None:
        world = SimulatedHost()
        world.on_child = FakeChild.listen

        async with world.supervisor(
            a_spec(plugin, max_connection_failures=3), directories=directories
        ) as supervisor:
            server = supervisor["simulated"]
            await server.wait_ready(5)
            await anyio.sleep(3600)
            assert server.generation == 1
            plugin.well = False
            await anyio.sleep(50)
            assert (server.state, server.health) == (State.RUNNING, "unhealthy")
            await anyio.sleep(50)
            assert server.generation > 1

    run_virtually(main)


@dataclass(eq=False)
class Announced:
    @hookimpl
    def parse_port(self, line: str) -> Endpoint | None:
        _, found, port = line.partition("http://127.0.0.1:")
        return Endpoint("127.0.0.1", int(port)) if found else None


def test_output_reaches_followers_tails_and_sinks(directories: Directories) -> None:
    class Sink:
        def __init__(self) -> None:
            self.data, self.closed = b"", 0

        def write(self, stream: str, data: bytes) -> None:
            self.data += data
            if b"trouble" in data:
                raise OSError("full")

        def close(self) -> None:
            self.closed += 1

    sink = Sink()

    @dataclass(eq=False)
    class Logging:
        @hookimpl
        async def pre_spawn(self, launch: Launch) -> None:
            launch.sinks.append(sink)
            launch.set_secret("PASSWORD", "hunter2-zebra")

    async def main() -> None:
        world = SimulatedHost()
        world.on_child = FakeChild.announce

        async with world.supervisor(a_spec(Announced(), Logging()), directories=directories) as supervisor:
            server = supervisor["simulated"]
            lines = server.lines()
            await settle()
            assert server.state is State.WAITING_READY
            child = world.children[-1]
            child.listen(pid=child.fork())
            await server.wait_ready(5)
            child.say("the password is hunter2-zebra", "stderr")
            child.say("trouble")
            assert (await anext(lines)).text.startswith("listening on")
            told = await anext(lines)
            assert (told.stream, told.text, told.number) == ("stderr", "the password is ********", 1)
            child.exit(3)
            await settle()
            assert server.error is not None
            assert "********" in server.error.context.stderr
            child.say("too late")

    run_virtually(main)
    assert b"the password is ********\n" in sink.data
    assert b"too late" not in sink.data
    assert sink.closed == 1


def test_what_ignores_sigterm_is_killed_and_what_outlives_sigkill_is_told(directories: Directories) -> None:
    def behave(child: FakeChild) -> None:
        child.ends_after, child.immortal = inf, True
        child.fork()
        child.listen()

    async def main() -> None:
        world = SimulatedHost()
        world.on_child = behave

        async with world.supervisor(a_spec(force_kill_timeout=5), directories=directories) as supervisor:
            server = supervisor["simulated"]
            await server.wait_ready(5)
            began = anyio.current_time()
            with pytest.raises(ForceKillTimeout):
                await server.stop()
            assert anyio.current_time() - began == pytest.approx(7)
            assert server.state is State.STOPPING
            world.children[-1].let_go()
            await server.wait_stopped()
            assert world.children[-1].signals[:2] == [signal.SIGTERM, signal.SIGKILL]

    run_virtually(main)


def test_the_main_process_is_asked_with_the_signal_of_its_specification(directories: Directories) -> None:
    async def main() -> None:
        world = SimulatedHost()
        world.on_child = lambda child: child.listen()
        async with world.supervisor(
            a_spec(stop_signal=StopSignal.INT), directories=directories
        ) as supervisor:
            await supervisor["simulated"].wait_ready(5)
            await supervisor["simulated"].stop()
            assert world.children[-1].signals == [signal.SIGINT]

    run_virtually(main)


def test_a_forced_stop_waits_for_nobody(directories: Directories) -> None:
    def behave(child: FakeChild) -> None:
        child.ends_after = inf
        child.listen()

    async def main() -> None:
        world = SimulatedHost()
        world.on_child = behave

        async with world.supervisor(a_spec(force_kill_timeout=60), directories=directories) as supervisor:
            server = supervisor["simulated"]
            await server.wait_ready(5)
            stop = asyncio.ensure_future(server.stop())
            await anyio.sleep(1)
            began = anyio.current_time()
            await server.stop(force=True)
            await stop
            assert anyio.current_time() - began < 1

    run_virtually(main)


def test_a_server_that_is_killed_at_once_is_asked_by_nobody_before(directories: Directories) -> None:
    class Asks:
        asked = False

        @hookimpl
        async def on_shutdown(self) -> None:
            self.asked = True

    async def main() -> None:
        world, plugin = SimulatedHost(), Asks()
        world.on_child = lambda child: child.listen()
        async with world.supervisor(a_spec(plugin), directories=directories) as supervisor:
            await supervisor["simulated"].wait_ready(5)
            await supervisor["simulated"].force_stop()
            assert (plugin.asked, world.children[-1].signals) == (False, [signal.SIGKILL])

    run_virtually(main)


def test_strangers_and_other_children_hold_their_ports(directories: Directories) -> None:
    def come(child: FakeChild) -> None:
        child.announce()
        world.strangers.add(child.launch.port or 0)

    world = SimulatedHost()
    world.on_child = come

    async def main() -> None:
        specs = [a_spec(Announced()), a_spec(name="fixed", port=4000, autostart=False)]
        async with world.supervisor(specs, directories=directories) as supervisor:
            with pytest.raises(PortInUse, match="stranger"):
                await supervisor["simulated"].wait_ready(60)
            world.strangers = {4000}
            with pytest.raises(PortInUse):
                await supervisor["fixed"].start()

    run_virtually(main)


def test_a_server_that_listens_in_silence_is_told_where(directories: Directories) -> None:
    async def main() -> None:
        world = SimulatedHost()
        world.on_child = lambda child: child.listen(port=7777)
        async with world.supervisor(a_spec(Announced()), directories=directories) as supervisor:
            with pytest.raises(PortParsingFailed, match="7777"):
                await supervisor["simulated"].wait_ready(120)

    run_virtually(main)


def test_a_spawn_can_be_refused(directories: Directories) -> None:
    def refuse(launch: Launch) -> None:
        raise ProcessSpawnFailed("no such program", permanent=True)

    async def main() -> None:
        world = SimulatedHost()
        world.on_spawn = refuse
        async with world.supervisor(a_spec(), directories=directories) as supervisor:
            with pytest.raises(ProcessSpawnFailed, match="no such program"):
                await supervisor["simulated"].start()
        assert world.children == []

    run_virtually(main)


def test_a_program_that_is_torn_down_kills_its_fakes_too(directories: Directories) -> None:
    world, before = SimulatedHost(), set(threading.enumerate())
    world.on_child = FakeChild.listen

    async def main() -> None:
        supervisor = world.supervisor(a_spec(), directories=directories)
        await supervisor.__aenter__()
        await supervisor["simulated"].wait_ready(5)

    run_virtually(main)
    assert [child.alive() for child in world.children] == [False]

    started = set(threading.enumerate()) - before  # others may have threads here, as pytest-xdist has
    for thread in started:
        thread.join(5)  # one that has just done its work may not be gone yet

    assert not any(thread.is_alive() for thread in started)


def test_a_dead_child_does_nothing(directories: Directories) -> None:
    async def main() -> None:
        world = SimulatedHost()
        world.on_child = lambda child: child.exit(0)

        async with world.supervisor(a_spec(port=None), directories=directories) as supervisor:
            await supervisor["simulated"].wait_stopped()

        child = world.children[0]
        assert child.fork() is None
        child.listen(port=80)
        assert child.bound == []
        assert not child.send_signal(signal.SIGTERM)
        assert child.exit_status is not None
        assert child.exit_status.code == 0

    run_virtually(main)
