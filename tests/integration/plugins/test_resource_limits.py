"""resource-limits on real servers that grow, spin and multiply: what is too much, and whose fault it is."""

from __future__ import annotations

import re
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import psutil
import pytest
from hostler import (
    Configuration,
    CrashRecord,
    Directories,
    Event,
    HealthReported,
    Notice,
    PluginSpec,
    RestartPolicy,
    RestartScheduled,
    Server,
    ServerCrashed,
    ServerSpec,
    State,
    StreamEvent,
    Supervisor,
    Unhealthy,
)
from hostler.model.choices import HealthRule
from hostler.model.values import ProcessUsage
from hostler.testing import FakeServerContext
from hostler_plugins.resource_limits.soft_limit import ProcessorTime, SoftLimit
from hostler_plugins.resource_limits.watch import FINE, Limits, UsageMonitor, in_words

MIB = 2**20
QUICK = RestartPolicy(initial_delay=0.01, max_delay=0.05, stable_after=60.0)
pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# argv: MiB at the start, children, MiB of each child. SIGUSR1 has the last one of them grow by 100 MiB more,
# SIGUSR2 has it spin.
PROGRAM = """
import os, signal, sys, threading, time

def take(mib):
    return b"x" * (mib * 2**20)

def grow(*_):
    held.append(take(100))

def spin(*_):
    while True:
        pass

before, children, each, threads = map(int, sys.argv[1:])
held, last = [take(before)], 0
signal.signal(signal.SIGUSR1, grow)
signal.signal(signal.SIGUSR2, spin)

for _ in range(threads):
    threading.Thread(target=time.sleep, args=(300,), daemon=True).start()

for _ in range(children):
    ready, done = os.pipe()
    last = os.fork()

    if not last:
        held.append(take(each))
        os.write(done, b"1")

        while True:
            signal.pause()

    os.read(ready, 1)

if last:
    signal.signal(signal.SIGUSR1, lambda *_: os.kill(last, signal.SIGUSR1))
    signal.signal(signal.SIGUSR2, lambda *_: os.kill(last, signal.SIGUSR2))

print("up", flush=True)

while True:
    signal.pause()
"""


def a_server(
    *, start: int = 0, children: int = 0, each: int = 0, threads: int = 0, **options: object
) -> ServerSpec:
    """A server of about 10 MiB that is looked at all the time."""
    numbers = map(str, (start, children, each, threads))
    return ServerSpec(
        name="grower",
        command=(sys.executable, "-I", "-S", "-c", PROGRAM, *numbers),
        port=None,
        restart=QUICK,
        plugins=(PluginSpec("resource-limits", {"interval": "30ms", "cgroup": "off"} | options),),
    )


@asynccontextmanager
async def running(spec: ServerSpec, directories: Directories) -> AsyncIterator[tuple[Server, list[Event]]]:
    """The server, up with all its children, and the events so far."""
    events: list[Event] = []

    async with Supervisor(spec, directories=directories) as supervisor:
        supervisor.listen(events.append)
        server = supervisor[spec.name]
        lines = server.lines()
        with anyio.fail_after(20):
            await anext(lines)
            await server.wait_ready()
        yield server, events


async def until(condition: Callable[[], object]) -> None:
    with anyio.fail_after(20):
        while not condition():  # noqa: ASYNC110 - not everything that is waited for here is an event
            await anyio.sleep(0.01)


async def crash_of(server: Server) -> CrashRecord:
    await until(lambda: server.crashes)
    return server.crashes[0]


def error_of(events: list[Event]) -> str:
    return next(
        event.reason for event in events if isinstance(event, HealthReported) and event.healthy is False
    )


def tell(server: Server, number: int) -> None:
    assert server.pid is not None
    psutil.Process(server.pid).send_signal(number)


async def test_a_child_that_grows_past_the_hard_limit_is_named_and_the_server_restarted_at_once(
    directories: Directories,
) -> None:
    async with running(a_server(children=2, memory_hard="90 MiB"), directories) as (server, events):
        assert server.pid is not None
        last = max(psutil.Process(server.pid).children(), key=lambda one: one.pid)
        tell(server, signal.SIGUSR1)
        crash = await crash_of(server)

        await until(lambda: server.generation == 2 and server.state is State.RUNNING)
        reason = error_of(events)
        assert re.fullmatch(
            r"[\d.]+ MiB of resident memory in 3 processes, most of it in "
            rf"\S+ \(pid {last.pid}, [\d.]+ MiB\), more than memory_hard = 90 MiB",
            reason,
        )
        assert "it uses too much" in crash.reason
        assert "raise memory_hard" in crash.hint
        assert [e.failures for e in events if isinstance(e, HealthReported) and e.healthy is False] == [1]
        assert server.restarts == 1
        assert [event.used for event in events if isinstance(event, RestartScheduled)] == [1]


async def test_a_limit_that_is_passed_at_each_start_uses_up_the_restarts(directories: Directories) -> None:
    spec = a_server(start=60, memory_hard="40 MiB")
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["grower"]
        await until(lambda: server.state is State.FAILED)
        assert isinstance(server.error, ServerCrashed)
        assert "more than memory_hard = 40 MiB" in server.error.message
        assert len(server.crashes) > 1


@pytest.mark.requirement("R41")
async def test_it_is_the_sum_of_the_whole_tree_that_counts(directories: Directories) -> None:
    async with running(a_server(children=3, each=30, memory_hard="1 GiB"), directories) as (server, _):
        used = await server.processes()
        assert max(one.rss for one in used) < 80 * MIB < sum(one.rss for one in used)
        report = await a_watch(server, memory_hard=80 * MIB).look()
        assert "in 4 processes" in getattr(report, "reason", "")


async def test_memory_that_processes_share_is_counted_once(directories: Directories) -> None:
    async with running(a_server(start=60, children=4), directories) as (server, _):
        used = await server.processes()
        assert sum(one.rss for one in used) > 290 * MIB
        once = await server.processes(shared_once=True)
        assert 60 * MIB < sum(one.rss for one in once) < 120 * MIB
        assert await a_watch(server, memory_hard=120 * MIB).look() is FINE
        assert await a_watch(server, memory_hard=55 * MIB).look() is not FINE


async def test_above_the_soft_limit_it_is_restarted_when_it_is_idle(directories: Directories) -> None:
    spec = a_server(memory_soft="80 MiB", soft_for="50ms", idle_for="200ms")
    async with running(spec, directories) as (server, events):
        tell(server, signal.SIGUSR1)
        crash = await crash_of(server)
        assert "more than memory_soft = 80 MiB and it is idle now" in crash.reason
        (notice,) = [event for event in events if isinstance(event, Notice) and event.topic == "memory_soft"]
        assert "it is restarted when idle" in notice.text


async def test_a_server_that_is_never_idle_is_restarted_when_the_wait_is_over(
    directories: Directories,
) -> None:
    spec = a_server(
        start=90, children=1, memory_soft="80 MiB", soft_for="50ms", idle_for="20s", max_wait="400ms"
    )
    async with running(spec, directories) as (server, _):
        tell(server, signal.SIGUSR2)
        crash = await crash_of(server)
        assert "more than memory_soft = 80 MiB and it was never idle" in crash.reason


@pytest.mark.requirement("R41")
async def test_processor_time_of_the_whole_tree_is_limited(directories: Directories) -> None:
    async with running(a_server(children=1, cpu_time="300ms"), directories) as (server, _):
        tell(server, signal.SIGUSR2)
        crash = await crash_of(server)
        assert re.search(r"0\.\d\d s of processor time, more than cpu_time = 0\.3 s", crash.reason)


@pytest.mark.requirement("R41")
@pytest.mark.parametrize(
    ("spec", "reason"),
    [
        (a_server(children=3, processes=3), "4 processes, more than processes = 3"),
        (a_server(threads=5, tasks=5), "6 processes and threads, more than tasks = 5"),
    ],
)
async def test_too_many_processes_and_threads_are_a_crash(
    spec: ServerSpec, reason: str, directories: Directories
) -> None:
    async with Supervisor(spec, directories=directories) as supervisor:
        crash = await crash_of(supervisor["grower"])
        assert reason in crash.reason


@pytest.mark.requirement("R41")
async def test_limits_of_each_process_are_the_kernels_own(directories: Directories) -> None:
    spec = a_server(open_files=88, core="0 B", file_size="1 MiB", address_space="2 GiB")
    async with running(spec, directories) as (server, events):
        limits = read_limits(server)
        assert re.search(r"Max open files\s+88\s+88\s", limits)
        assert re.search(r"Max core file size\s+0\s+0\s", limits)
        assert re.search(rf"Max file size\s+{MIB}\s+{MIB}\s", limits)
        assert re.search(rf"Max address space\s+{2 << 30}\s+{2 << 30}\s", limits)
        assert not [event for event in events if isinstance(event, Notice)]


def read_limits(server: Server) -> str:
    return Path(f"/proc/{server.pid}/limits").read_text()


async def test_what_only_a_control_group_can_keep_is_told_once_where_there_is_none(
    directories: Directories,
) -> None:
    async with running(a_server(cpus=0.5, memory_throttle="1 GiB"), directories) as (server, events):
        await server.restart()
        await server.wait_ready(20)
        notices = [event for event in events if isinstance(event, Notice) and event.topic == "limit_not_kept"]
        assert [event.details["limits"] for event in notices] == [["memory_throttle", "cpus"]]
        assert "Delegate=yes" in notices[0].text


def says(server: Server, plugin: str) -> object:
    """The last report of a health plugin."""
    health = None if server._engine.run is None else server._engine.run.health
    return None if health is None else health.plugins[plugin].last


async def test_it_makes_no_server_ready_where_any_health_plugin_is_enough(
    directories: Directories, tmp_path: Path
) -> None:
    ready = tmp_path / "ready"
    limits = a_server(memory_hard="1 GiB")
    spec = ServerSpec(
        name="grower",
        command=limits.command,
        port=None,
        health=HealthRule.ANY,
        plugins=(*limits.plugins, PluginSpec("file-ready", {"path": str(ready), "interval": "20ms"})),
    )
    async with Supervisor(Configuration({"grower": spec}), directories=directories) as supervisor:
        server = supervisor["grower"]
        lines = server.lines()
        with anyio.fail_after(20):
            await anext(lines)
        await until(lambda: says(server, "resource-limits"))
        assert server.state is State.WAITING_READY
        ready.touch()
        await server.wait_ready(20)


# -- looking ---------------------------------------------------------------------------------------


def a_watch(server: Any, *, idle_cpu: float = 0.05, **limits: Any) -> UsageMonitor:
    return UsageMonitor(server, Limits(**limits), SoftLimit(1.0, 1.0, 10.0), idle_cpu)


def one(pid: int, rss: int = 0, cpu: float = 0.0, waited: float = 0.0) -> ProcessUsage:
    return ProcessUsage(pid, f"name-{pid}", rss, cpu, waited)


async def busy_after(server: FakeServerContext, change: Callable[[], None]) -> bool:
    """Whether the second of two looks sees work."""
    watch = a_watch(server, memory_soft=10)
    await watch.look()
    await anyio.sleep(0.02)
    change()
    await watch.look()
    return watch.soft_limit._idle_since is None


async def test_busy_is_who_uses_processors_or_has_news_or_says_so() -> None:
    server = FakeServerContext(usage=[one(1, 5, cpu=1.0)])
    assert not await busy_after(server, lambda: None)
    assert await busy_after(server, lambda: setattr(server, "usage", [one(1, 5, cpu=1.01)]))
    assert not await busy_after(server, lambda: setattr(server, "quiet_for", 5.0))
    assert await busy_after(server, lambda: setattr(server, "quiet_for", 0.001))
    server.quiet_for = 5.0
    server.facts = {"is_idle": lambda: False}
    assert await busy_after(server, lambda: None)
    server.facts = {"is_idle": lambda: True}
    assert not await busy_after(server, lambda: None)


@pytest.mark.parametrize(
    ("answer", "busy"), [(["job"], True), ([], False), (None, True), (OSError("no answer"), True)]
)
async def test_a_launcher_that_tells_what_runs_is_asked(answer: object, busy: bool) -> None:
    async def what_runs() -> object:
        if isinstance(answer, Exception):
            raise answer
        return answer

    server = FakeServerContext(usage=[one(1, 5, cpu=1.0)], facts={"what_runs": what_runs})
    assert await busy_after(server, lambda: None) is busy


@pytest.mark.parametrize(
    ("fact", "answer", "words"),
    [
        ("what_runs", list("abcdefg"), "and it was never idle; running: a, b, c, d, e and 2 more"),
        ("what_runs", None, "and it was never idle; whether anything runs is unknown"),
        ("is_idle", False, "and it was never idle, as it says"),
        ("nothing", None, "and it was never idle"),
    ],
)
async def test_what_ran_all_the_time_is_named(fact: str, answer: object, words: str) -> None:
    async def what_runs() -> object:
        return answer

    facts = {"what_runs": what_runs, "is_idle": lambda: answer}
    server = FakeServerContext(usage=[one(1, 20, cpu=1.0)], facts={fact: facts.get(fact)})
    watch = UsageMonitor(server, Limits(memory_soft=10), SoftLimit(0.0, 60.0, 0.0), 0.05)
    report = await watch.look()
    assert isinstance(report, Unhealthy)
    assert report.reason.endswith(words)


async def test_a_look_that_cannot_be_taken_says_nothing() -> None:
    class Blind(FakeServerContext):
        async def processes(self, *, shared_once: bool = False) -> tuple[ProcessUsage, ...]:
            raise OSError(24, "Too many open files")

    assert await a_watch(Blind(), memory_hard=1).look() is FINE


async def test_a_tree_that_has_just_ended_is_no_trouble() -> None:
    assert await a_watch(FakeServerContext(), memory_hard=1, memory_soft=1, processes=1).look() is FINE


async def test_the_quiet_of_an_event_stream_is_counted_without_heartbeats(directories: Directories) -> None:
    async with running(a_server(), directories) as (server, _):
        assert server.quiet_for == float("inf")
        server._engine.deliver(StreamEvent("server.heartbeat", "{}"))
        assert server.quiet_for == float("inf")
        server._engine.deliver(StreamEvent("message", '{"type":"session.updated"}'))
        quiet = server.quiet_for
        assert 0 <= quiet < 5
        server._engine.deliver(StreamEvent("message", '{"type":"server.heartbeat"}'))
        assert server.quiet_for >= quiet


# -- arithmetic ------------------------------------------------------------------------------------


def test_patience_waits_for_the_excess_to_last_and_then_for_idleness() -> None:
    soft_limit = SoftLimit(above_for=10, idle_for=3, max_wait=60)
    assert soft_limit.note(0, above=True, busy=True) == ""
    assert soft_limit.note(9, above=True, busy=False) == ""
    assert soft_limit.note(11, above=True, busy=False) == "", "idle for 2 s only"
    assert soft_limit.note(12, above=True, busy=False) == "and it is idle now"


def test_patience_begins_anew_when_the_excess_ends_or_the_work_goes_on() -> None:
    soft_limit = SoftLimit(above_for=10, idle_for=3, max_wait=60)
    soft_limit.note(0, above=True, busy=False)
    soft_limit.note(5, above=False, busy=False)
    assert soft_limit.above_since is None
    assert soft_limit.note(12, above=True, busy=False) == ""
    assert soft_limit.note(21, above=True, busy=True) == ""
    assert soft_limit.note(23, above=True, busy=False) == "", "idle just now"
    assert soft_limit.note(26, above=True, busy=False) == "and it is idle now"


def test_patience_comes_to_an_end() -> None:
    soft_limit = SoftLimit(above_for=10, idle_for=3, max_wait=60)
    soft_limit.note(0, above=True, busy=True)
    assert soft_limit.note(69, above=True, busy=True) == ""
    assert soft_limit.note(70, above=True, busy=True) == "and it was never idle"


def test_processor_time_never_shrinks_when_processes_end() -> None:
    time = ProcessorTime()
    time.note({1: (1.0, 0.0), 2: (5.0, 0.0)})
    assert time.total == 6.0
    time.note({1: (1.0, 0.0)})
    assert time.total == 6.0, "who ended nobody had to wait for"
    time.note({1: (2.0, 0.0)})
    assert time.total == 7.0
    time.note({1: (0.5, 0.0)})
    assert time.total == 7.5, "a new process with an old number"
    time.note({1: (0.5, 20.0)})
    assert time.total == 20.5, "a leader that has waited for children that nobody saw"


def test_sizes_are_told_as_people_say_them() -> None:
    assert [in_words(size) for size in (0, 1023, 1536, 812 * MIB, 3 << 40)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "812 MiB",
        "3072 GiB",
    ]
