"""What goes wrong around a server, and what is released, told and kept from others all the same."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import threading
import time
from dataclasses import dataclass, field

import anyio
import anyio.lowlevel
import pytest
from hostler import (
    Directories,
    Endpoint,
    Event,
    Exit,
    Exited,
    Notice,
    PluginSpec,
    ServerError,
    ServerSpec,
    State,
    Supervisor,
    hookimpl,
)
from hostler.process.disk.lock import NameLock
from specs import MakeSpec, with_plugin
from supervised_servers import reaches


@dataclass(eq=False)
class SlowParser:
    """Takes its time for each line."""

    asked: int = field(init=False, default=0)

    @hookimpl
    def parse_port(self, line: str) -> Endpoint | None:
        self.asked += 1
        time.sleep(0.01)
        return None


async def test_a_flood_of_lines_for_a_slow_parser_does_not_starve_the_loop(
    make_spec: MakeSpec, directories: Directories
) -> None:
    plugin = SlowParser()
    switches = ("--port", "0", "--no-announce", "--flood", "1000000")
    spec = make_spec(*switches, plugins=(PluginSpec("slow", instance=plugin),))
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        await reaches(server, State.WAITING_READY)
        longest = 0.0
        while plugin.asked < 50:
            began = time.monotonic()
            await asyncio.sleep(0)
            longest = max(longest, time.monotonic() - began)
        with anyio.fail_after(5):
            await server.stop()
        assert longest < 0.5
        assert plugin.asked < 1000


async def test_memory_that_cannot_be_read_ends_nothing(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        looked.set()
        raise OSError(errno.EMFILE, "too many open files")

    looked = asyncio.Event()
    # A real shortage of descriptors would hit the test's own pipes, too.
    monkeypatch.setattr("hostler.process.system.tree_memory", refuse)

    async with Supervisor(make_spec(memory_interval=0.05), directories=directories) as supervisor:
        await supervisor["fake"].wait_ready(10)
        looked.clear()
        await asyncio.wait_for(looked.wait(), 10)
        await asyncio.sleep(0.1)
        assert supervisor["fake"].state is State.RUNNING


async def test_a_missing_tool_is_told_once(
    make_spec: MakeSpec, directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostler.process.spawn.privileges._find_tool", lambda _: None)  # as on macOS
    notices: list[str] = []
    async with Supervisor(make_spec(), directories=directories) as supervisor:
        supervisor.listen(lambda event: notices.append(event.topic) if isinstance(event, Notice) else None)
        await supervisor["fake"].wait_ready(10)
        await supervisor["fake"].restart()
        await supervisor["fake"].wait_ready(10)
    assert notices == ["tool_missing"]


async def test_a_host_that_blocks_the_loop_for_longer_than_a_start_may_take_does_no_harm(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec("--announce-delay", "0.2", startup_timeout=0.5)
    async with Supervisor(spec, directories=directories) as supervisor:
        await reaches(supervisor["fake"], State.WAITING_READY)
        time.sleep(1.2)  # noqa: ASYNC251 - what a host may do
        await supervisor["fake"].wait_ready(5)
        assert supervisor["fake"].generation == 1


async def test_a_host_that_ignores_the_ends_of_children_gets_all_but_exit_codes_and_is_told(
    make_spec: MakeSpec, directories: Directories
) -> None:
    exits: list[Exit] = []
    notices: list[str] = []
    before = signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    try:
        supervisor = Supervisor(make_spec("--spawn-session-child"), directories=directories)
        supervisor.listen(lambda event: exits.append(event.exit) if isinstance(event, Exited) else None)
        supervisor.listen(lambda event: notices.append(event.topic) if isinstance(event, Notice) else None)
        async with supervisor:
            server = supervisor["fake"]
            await server.wait_ready(10)
            os.kill(server.pid or 0, signal.SIGKILL)
            await server.wait_ready(10)
            assert server.generation == 2

    finally:
        signal.signal(signal.SIGCHLD, before)

    assert [exit_.description for exit_ in exits] == ["unknown exit status"] * 2
    assert notices.count("exits_unknown") == 1


async def test_waiting_for_a_clean_up_by_another_hostler_does_not_block_the_loop(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec(), directories=directories, namespace="n") as supervisor:
        await supervisor["fake"].wait_ready(10)
        path = next(directories.state.rglob("*.lock"))

    sweep = NameLock.take_stale(path)
    assert sweep is not None

    async with Supervisor(make_spec(), directories=directories, namespace="n") as supervisor:
        await reaches(supervisor["fake"], State.STARTING)
        began = time.monotonic()
        await asyncio.sleep(0.3)
        assert time.monotonic() - began < 1
        assert supervisor["fake"].state is State.STARTING
        sweep.release()
        await supervisor["fake"].wait_ready(10)


def test_supervisors_in_several_threads_do_not_meet(make_spec: MakeSpec, directories: Directories) -> None:
    async def live() -> None:
        async with Supervisor(make_spec(), directories=directories) as supervisor:
            server = supervisor["fake"]
            await server.wait_ready(10)
            os.kill(server.pid or 0, signal.SIGKILL)
            await server.wait_ready(10)
            await server.restart()
            await server.wait_ready(10)
            done.append(server.generation)

    done: list[int] = []
    threads = [threading.Thread(target=asyncio.run, args=(live(),)) for _ in range(3)]
    for thread in threads:
        thread.start()

    for thread in threads:
        thread.join(30)

    assert done == [3, 3, 3]


@dataclass(eq=False)
class HangsInCrash:
    """Takes as long as it may after a crash."""

    @hookimpl
    async def on_crash(self) -> None:
        await anyio.sleep(60)


async def test_a_forced_stop_does_not_wait_for_plugins_after_a_crash(
    make_spec: MakeSpec, directories: Directories
) -> None:
    spec = make_spec("--exit-after", "0.2", plugins=with_plugin(HangsInCrash()))
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["fake"]
        await reaches(server, State.CRASHED)
        with anyio.fail_after(2):
            await server.force_stop()
        assert server.state is State.STOPPED


@dataclass(eq=False)
class Gate:
    """Holds a start up while it is shut."""

    open: bool = True
    waiting: anyio.Event = field(default_factory=anyio.Event)
    opened: anyio.Event = field(default_factory=anyio.Event)

    @hookimpl
    async def pre_spawn(self) -> None:
        if not self.open:
            self.waiting.set()
            await self.opened.wait()


async def test_a_server_starts_when_all_that_it_needs_are_ready_at_the_same_time(
    make_spec: MakeSpec, directories: Directories
) -> None:
    gates = {"db": Gate(), "cache": Gate(open=False)}
    specs = [make_spec(name=name, plugins=with_plugin(gate)) for name, gate in gates.items()]
    specs.append(make_spec(name="web", needs=("db", "cache")))

    async with Supervisor(specs, directories=directories) as supervisor:
        web, db = supervisor["web"], supervisor["db"]
        await db.wait_ready(10)
        await gates["cache"].waiting.wait()
        await reaches(web, State.STARTING)
        gates["db"].open = False
        restarting = asyncio.create_task(db.restart())
        await gates["db"].waiting.wait()
        gates["cache"].opened.set()
        await supervisor["cache"].wait_ready(10)
        await asyncio.sleep(0.1)
        assert web.state is State.STARTING
        gates["db"].opened.set()
        await restarting
        await web.wait_ready(10)


async def test_a_crashed_need_that_comes_back_is_waited_for(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [
        make_spec("--exit-after", "0.3", name="db"),
        make_spec(name="web", needs=("db",), autostart=False),
    ]
    async with Supervisor(specs, directories=directories) as supervisor:
        await reaches(supervisor["db"], State.RUNNING)
        await reaches(supervisor["db"], State.CRASHED, State.BACKOFF)
        await supervisor["web"].start()
        assert supervisor["db"].generation > 1


async def test_a_need_that_is_stopped_meanwhile_ends_the_start(
    make_spec: MakeSpec, directories: Directories
) -> None:
    specs = [make_spec("--port", "0", "--no-announce", name="db"), make_spec(name="web", needs=("db",))]
    async with Supervisor(specs, directories=directories) as supervisor:
        await reaches(supervisor["db"], State.WAITING_READY)
        await supervisor["db"].stop()
        with pytest.raises(ServerError, match="it needs db, which is stopped"):
            await supervisor["web"].wait_ready(10)


async def test_no_event_of_an_older_run_follows_one_of_a_newer(
    make_spec: MakeSpec, directories: Directories
) -> None:
    events: list[Event] = []

    async with Supervisor(make_spec("--log-requests"), directories=directories) as supervisor:
        server = supervisor["fake"]
        supervisor.listen(events.append)
        for _ in range(5):
            await server.wait_ready(10)
            await server.restart()

    generations = [event.generation for event in events]
    assert generations == sorted(generations)
    assert generations[-1] == 6


async def test_lines_of_a_worker_are_cut_only_while_somebody_follows_them(directories: Directories) -> None:
    spec = ServerSpec(name="worker", command=("sh", "-c", "while sleep 0.05; do echo tick; done"), port=None)
    async with Supervisor(spec, directories=directories) as supervisor:
        server = supervisor["worker"]
        await server.wait_ready(5)
        following = server._engine.run.lines if server._engine.run is not None else None
        assert following is not None
        assert not following.active
        lines = server.lines()
        with anyio.fail_after(5):
            assert (await anext(lines)).text == "tick"
            assert following.active
            del lines
            while following.active:  # noqa: ASYNC110 - nobody tells when a listener is forgotten
                await asyncio.sleep(0.05)
