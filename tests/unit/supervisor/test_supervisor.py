"""Several servers together: their order, start, stop and events."""

from __future__ import annotations

import asyncio
import math
import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from hostler import (
    Configuration,
    Directories,
    Event,
    InvalidConfiguration,
    MemorySampled,
    Notice,
    PluginSpec,
    ProcessSpawnFailed,
    ServerCrashed,
    ServerError,
    ServerSpec,
    ServerView,
    State,
    StateChanged,
    Supervisor,
    hookimpl,
)
from hostler.process.tree.process_table import Table, read_table
from hostler.supervisor.memory_sampler import sample_memory
from hostler.testing import SimulatedHost, run_virtually
from specs import QUICK, MakeSpec, announced, worker

NO_RETRY = replace(QUICK, start_retries=0)


def story(events: list[Event]) -> list[str]:
    """The states of all servers in the order in which they were entered."""
    return [f"{event.server} {event.state.value}" for event in events if isinstance(event, StateChanged)]


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


async def all_ready(supervisor: Supervisor) -> None:
    with anyio.fail_after(20):
        await supervisor.wait_ready()


# -- order ---------------------------------------------------------------------------------------


@pytest.mark.requirement("R13")
async def test_servers_start_after_those_they_need_and_stop_before_them(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [
        make_spec(name="web", needs=("db", "cache")),
        make_spec(name="db"),
        make_spec(name="cache", needs=("db",)),
    ]
    events: list[Event] = []

    async with Supervisor(specs, directories=directories) as supervisor:
        supervisor.listen(events.append)
        assert list(supervisor) == ["web", "db", "cache"]
        await all_ready(supervisor)

    told = story(events)
    assert told.index("db running") < told.index("cache waiting_ready")
    assert told.index("cache running") < told.index("web waiting_ready")
    assert told.index("web stopped") < told.index("cache stopping")
    assert told.index("cache stopped") < told.index("db stopping")


async def test_a_server_gets_what_those_it_needs_publish(
    make_spec: MakeSpec, directories: Directories
) -> None:
    db = make_spec(name="db", plugins=(announced(), PluginSpec("publishes", instance=Publishes())))
    web = make_spec("--print-env", "DATABASE_AT", name="web", needs=("db",))
    async with Supervisor([db, web], directories=directories) as supervisor:
        lines = supervisor["web"].lines()
        await all_ready(supervisor)
        with anyio.fail_after(5):
            assert (await anext(lines)).text == f"DATABASE_AT={supervisor['db'].url}"


@dataclass(eq=False)
class Publishes:
    """Publishes where its server is."""

    @hookimpl
    async def pre_spawn(self, server: ServerView) -> None:
        server.publish("DATABASE_AT", "${server.url}")


async def test_a_needed_server_that_fails_is_the_reason_of_those_that_need_it(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [
        make_spec("--exit-after", "0", name="db", restart=NO_RETRY),
        make_spec(name="web", needs=("db",)),
    ]
    async with Supervisor(specs, directories=directories) as supervisor:
        with pytest.raises(ServerCrashed, match="it needs db, which is failed") as caught:
            await supervisor["web"].wait_ready(10)
        assert "see why db is failed" in caught.value.context.hint
        assert supervisor["web"].generation == 1
        with pytest.raises(ServerCrashed, match="^db: it exited unexpectedly"):
            await supervisor.wait_ready(timeout=5)


async def test_when_the_first_of_many_is_up_most_others_hold_nothing(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [worker(make_spec, "sleep", "1000", name=f"w{number}") for number in range(50)]
    locks: list[int] = []

    def count(event: Event) -> None:
        if isinstance(event, StateChanged) and event.state is State.WAITING_READY and not locks:
            locks.append(len(list(directories.state.rglob("*.lock"))))

    async with Supervisor(specs, directories=directories) as supervisor:
        supervisor.listen(count)
        await all_ready(supervisor)
    assert 0 < locks[0] < 25


def test_of_many_the_first_is_spawned_before_another_is_prepared(directories: Directories) -> None:
    specs = [ServerSpec(name=f"w{number}", command=("w",), port=None) for number in range(50)]
    locks: list[int] = []
    world = SimulatedHost()  # where no wait is cut short because the machine is busy
    world.on_spawn = lambda _: locks.append(len(list(directories.state.rglob("*.lock"))))

    async def main() -> None:
        async with world.supervisor(specs, directories=directories) as supervisor:
            await supervisor.wait_ready(timeout=5)

    run_virtually(main)
    assert locks[0] == 1
    assert len(locks) == 50


@dataclass(eq=False)
class WaitsForLast:
    """Lets no server be spawned until the last of them is about to be."""

    last: str
    seen: asyncio.Event

    @hookimpl
    async def pre_spawn(self, server: ServerView) -> None:
        if server.name == self.last:
            self.seen.set()
        await self.seen.wait()


async def test_many_that_are_slow_to_start_do_not_hold_up_the_rest(
    make_spec: MakeSpec, directories: Directories
) -> None:
    waits = PluginSpec("waits", instance=WaitsForLast("w49", asyncio.Event()))
    specs = [
        replace(worker(make_spec, "sleep", "1000", name=f"w{number}"), plugins=(waits,))
        for number in range(50)
    ]
    async with Supervisor(specs, directories=directories) as supervisor:
        await all_ready(supervisor)


async def test_servers_that_need_each_other_are_refused(
    make_spec: MakeSpec, directories: Directories
) -> None:
    ring = [make_spec(name=a, needs=(b,)) for a, b in ("ab", "bc", "ca")]
    with pytest.raises(InvalidConfiguration, match="a -> b -> c -> a"):
        Supervisor(ring, directories=directories)
    with pytest.raises(InvalidConfiguration, match="a server cannot need itself"):
        Supervisor(make_spec(name="a", needs=("a",)), directories=directories)


def test_an_unknown_need_is_told_with_its_place(make_spec: MakeSpec, directories: Directories) -> None:
    with pytest.raises(InvalidConfiguration, match=r'servers\.web\.needs\[0\]: there is no server "db"'):
        Supervisor(make_spec(name="web", needs=("db",)), directories=directories)


def test_two_servers_of_one_name_are_refused(make_spec: MakeSpec, directories: Directories) -> None:
    with pytest.raises(InvalidConfiguration, match="one name"):
        Supervisor([make_spec(), make_spec()], directories=directories)


async def test_an_unknown_name_is_told_with_those_that_there_are(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor([make_spec(name="a"), make_spec(name="b")], directories=directories) as supervisor:
        with pytest.raises(KeyError, match=r"no server 'x'; there are: a, b"):
            supervisor["x"]
        with pytest.raises(KeyError):
            await supervisor.stop("x")
        assert len(supervisor) == 2
        assert [server.name for server in supervisor.servers.values()] == ["a", "b"]


# -- commands ------------------------------------------------------------------------------------


async def test_a_server_without_autostart_waits_until_it_is_asked_for_with_what_it_needs(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [make_spec(name=name, autostart=False) for name in ("db", "other")]
    specs.append(make_spec(name="web", needs=("db",), autostart=False))

    async with Supervisor(specs, directories=directories) as supervisor:
        await supervisor.wait()
        assert {server.state for server in supervisor.servers.values()} == {State.STOPPED}
        await supervisor.start("web")
        await supervisor.wait_ready("web", timeout=10)
        assert supervisor["db"].state is State.RUNNING
        assert supervisor["other"].state is State.STOPPED


async def test_start_without_names_starts_all_that_do_not_run(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [make_spec(name="a"), make_spec(name="b", autostart=False)]
    async with Supervisor(specs, directories=directories) as supervisor:
        await all_ready(supervisor)
        await supervisor.start()
        await supervisor.wait_ready("a", "b", timeout=10)
        assert supervisor["a"].generation == 1


async def test_start_tells_the_first_failure_when_all_have_been_tried(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [ServerSpec(name="x", command=("no-such-program",), autostart=False), make_spec(autostart=False)]
    async with Supervisor(specs, directories=directories) as supervisor:
        with pytest.raises(ProcessSpawnFailed, match="^x: "):
            await supervisor.start()
        await supervisor["fake"].wait_ready(10)


async def test_one_server_is_stopped_without_the_others(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor([make_spec(name="a"), make_spec(name="b")], directories=directories) as supervisor:
        await all_ready(supervisor)
        await supervisor.stop("a")
        assert (supervisor["a"].state, supervisor["b"].state) == (State.STOPPED, State.RUNNING)


async def test_stop_waits_for_those_that_need_the_server_and_are_stopped_with_it(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [make_spec(name="db"), make_spec("--term-delay", "0.3", name="web", needs=("db",))]
    events: list[Event] = []

    async with Supervisor(specs, directories=directories) as supervisor:
        supervisor.listen(events.append)
        await all_ready(supervisor)
        await supervisor.stop()
        told = story(events)
        assert told[-2:] == ["db stopping", "db stopped"]
        await supervisor.start()
        await supervisor.wait_ready(timeout=10)


async def test_a_forced_stop_of_all_keeps_no_order_and_no_grace(
    make_spec: MakeSpec, directories: Directories
) -> None:
    slow: dict[str, Any] = {"force_kill_timeout": 60.0}
    specs = [make_spec("--ignore-term", name="db", **slow)]
    specs.append(make_spec("--ignore-term", name="web", needs=("db",), **slow))
    async with Supervisor(specs, directories=directories) as supervisor:
        await all_ready(supervisor)
        with anyio.fail_after(5):
            await supervisor.stop(force=True)


async def test_force_cuts_a_stop_of_all_short(make_spec: MakeSpec, directories: Directories) -> None:
    slow: dict[str, Any] = {"force_kill_timeout": 60.0}
    specs = [make_spec("--ignore-term", name="db", **slow)]
    specs.append(make_spec("--ignore-term", name="web", needs=("db",), **slow))

    async with Supervisor(specs, directories=directories) as supervisor:
        await all_ready(supervisor)
        with anyio.fail_after(10):
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(supervisor.stop)
                await supervisor["web"].until(lambda: supervisor["web"].state is State.STOPPING)
                await supervisor.stop(force=True)


async def test_wait_ends_when_nothing_is_left_to_do(directories: Directories) -> None:
    specs = [ServerSpec(name="task", command=("sleep", "0.1"), port=None)]
    specs.append(ServerSpec(name="bad", command=("no-such-program",)))
    async with Supervisor(specs, directories=directories) as supervisor:
        with anyio.fail_after(10):
            await supervisor.wait()
        assert (supervisor["task"].state, supervisor["bad"].state) == (State.STOPPED, State.FAILED)


async def test_wait_goes_on_while_a_server_is_restarted(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec("--exit-after", "0.1"), directories=directories) as supervisor:
        with anyio.fail_after(20):
            await supervisor.wait()
        assert supervisor["fake"].state is State.FAILED
        assert supervisor["fake"].generation == 1 + QUICK.max_restarts


# -- supervisors ---------------------------------------------------------------------------------


async def test_two_supervisors_live_side_by_side(make_spec: MakeSpec, directories: Directories) -> None:
    first, second = (Supervisor(make_spec(), directories=directories) for _ in range(2))
    async with first, second:
        await all_ready(first)
        await all_ready(second)
        assert first["fake"].url != second["fake"].url
        await first["fake"].stop()
        assert second["fake"].state is State.RUNNING


async def test_a_supervisor_is_entered_once(make_spec: MakeSpec, directories: Directories) -> None:
    async with Supervisor(make_spec(autostart=False), directories=directories) as supervisor:
        with pytest.raises(ServerError, match="entered once"):
            await supervisor.__aenter__()


async def test_no_servers_at_all_are_no_mistake(directories: Directories) -> None:
    async with Supervisor(Configuration({}), directories=directories) as supervisor:
        await supervisor.start()
        await supervisor.wait()


def test_another_event_loop_is_refused_with_a_proposal(make_spec: MakeSpec, directories: Directories) -> None:
    entering = Supervisor(make_spec(), directories=directories).__aenter__()
    with pytest.raises(ServerError, match="trio") as caught:  # no asyncio loop runs here, as under trio
        entering.send(None)
    assert "hostler.serve" in caught.value.context.hint


def test_uvloop_works(make_spec: MakeSpec, directories: Directories) -> None:
    uvloop = pytest.importorskip("uvloop")

    async def live() -> None:
        async with Supervisor(make_spec("--spawn-session-child"), directories=directories) as supervisor:
            server = supervisor["fake"]
            await server.wait_ready(10)
            await server.restart()
            await server.wait_ready(10)
            assert server.generation == 2
            os.kill(server.pid or 0, 9)
            await server.wait_ready(10)
            assert server.generation == 3
            await server.stop()

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(live())

    assert files_in(directories.state) == []


# -- events --------------------------------------------------------------------------------------


async def test_events_of_all_servers_come_in_order_and_end(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor([make_spec(name="a"), make_spec(name="b")], directories=directories) as supervisor:
        events = supervisor.events()
        await all_ready(supervisor)
    with anyio.fail_after(5):
        told = story([event async for event in events])
    for name in ("a", "b"):
        own = [entry.split()[1] for entry in told if entry.startswith(name)]
        assert own == ["starting", "waiting_ready", "running", "stopping", "stopped"]


async def test_events_are_bounded_and_a_slow_listener_is_told(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec(autostart=False), directories=directories) as supervisor:
        of_all, of_one = supervisor.events(), supervisor["fake"].events()
        for number in range(10_000):
            supervisor["fake"]._engine.progress(f"step {number}")
        for events, kept in ((of_all, 8192), (of_one, 1024)):
            mark = await anext(events)
            assert isinstance(mark, Notice)
            assert mark.topic == "events_dropped"
            assert mark.details == {"count": 10_000 - kept}


async def test_a_listener_hears_every_event_at_once_until_it_ends_that(
    make_spec: MakeSpec, directories: Directories
) -> None:
    heard: list[Event] = []
    async with Supervisor(make_spec(), directories=directories) as supervisor:
        end = supervisor.listen(heard.append)
        await all_ready(supervisor)
        assert story(heard) == ["fake starting", "fake waiting_ready", "fake running"]
        end()
    assert story(heard)[-1] == "fake running"


async def test_a_listener_that_fails_hurts_nobody(make_spec: MakeSpec, directories: Directories) -> None:
    heard: list[Event] = []
    complaints: list[str] = []
    loop = asyncio.get_running_loop()
    loop.set_exception_handler(lambda _, context: complaints.append(str(context["exception"])))

    def fail(_: Event) -> None:
        raise OSError("the terminal is gone")

    async with Supervisor(make_spec(), directories=directories) as supervisor:
        supervisor.listen(fail)
        supervisor.listen(heard.append)
        await all_ready(supervisor)
        assert supervisor["fake"].generation == 1

    assert story(heard)[-1] == "fake stopped"
    assert set(complaints) == {"the terminal is gone"}


@pytest.mark.requirement("R33")
async def test_memory_is_told_at_each_servers_own_interval(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [
        make_spec(name="often", memory_interval=0.02),
        make_spec("--spawn-child", name="seldom", memory_interval=0.45),
        make_spec(name="never", memory_interval=0.0),
    ]
    samples: list[MemorySampled] = []

    async with Supervisor(specs, directories=directories) as supervisor:
        events = supervisor.events()
        with anyio.fail_after(20):
            async for event in events:
                if isinstance(event, MemorySampled):
                    samples.append(event)
                if sum(sample.server == "seldom" for sample in samples) == 2:
                    break

    counts = {name: sum(sample.server == name for sample in samples) for name in supervisor}
    assert counts["never"] == 0
    assert counts["often"] > 2 * counts["seldom"]
    assert {(sample.server, sample.processes) for sample in samples} == {("often", 1), ("seldom", 2)}
    assert all(sample.rss > 1_000_000 and sample.uptime > 0 for sample in samples)


async def test_servers_whose_memory_is_due_together_share_one_look_at_the_process_table(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ["one", "two", "three", "four", "five"]
    looks: list[float] = []
    waits = 0

    def look(*args: Any) -> Table:
        looks.append(args[0])
        return read_table(*args)

    async def until_all_are_due(_: float) -> None:
        nonlocal waits
        waits += 1
        if waits > 1:
            await anyio.sleep_forever()
        monkeypatch.setattr("hostler.supervisor.memory_sampler.loop_time", lambda: math.inf)

    specs = [make_spec(name=name, memory_interval=3600.0) for name in names]
    async with Supervisor(specs, directories=directories) as supervisor:
        await all_ready(supervisor)
        events = supervisor.events()
        monkeypatch.setattr("hostler.process.tree.snapshot.read_table", look)
        async with anyio.create_task_group() as tasks:
            servers = {name: supervisor[name]._engine for name in names}
            tasks.start_soon(sample_memory, servers, until_all_are_due)
            left = set(names)
            with anyio.fail_after(20):
                while left:
                    event = await anext(events)
                    left -= {event.server} if isinstance(event, MemorySampled) else set()
            tasks.cancel_scope.cancel()
        assert len(looks) < len(names)  # whose state is written down just now is looked at, too


@pytest.mark.skipif(os.environ.get("TESTS_ON") == "uvloop", reason="uvloop does not show its timers")
async def test_an_idle_supervisor_without_samples_has_nothing_to_do(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec(memory_interval=0.0), directories=directories) as supervisor:
        await all_ready(supervisor)
        timers = asyncio.get_running_loop()._scheduled  # type: ignore[attr-defined]
        with anyio.fail_after(5):  # its state is written down first
            while [timer for timer in timers if not timer.cancelled()]:  # noqa: ASYNC110 - timers tell nobody
                await asyncio.sleep(0)


async def test_an_end_whose_kill_fails_ends_all_the_rest(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    supervisor = Supervisor([], namespace="end", directories=directories)

    def fail() -> None:
        raise OSError("it cannot be killed")

    await supervisor.__aenter__()
    events = supervisor.events()
    monkeypatch.setattr(supervisor._registry, "kill_now", fail)
    with pytest.raises(OSError, match="it cannot be killed"):
        await supervisor.close()
    with anyio.fail_after(20):
        assert [event async for event in events] == []
    assert supervisor._recorder._ended
