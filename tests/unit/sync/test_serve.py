"""A `serve` block that nobody leaves: dropped, collected on any thread, or used from elsewhere."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path

import psutil
import pytest
from cli_project import eventually
from hostler import BlockingServer, Directories, Event, Server, ServerError, ServerSpec, Supervisor, serve
from specs import MakeSpec


@pytest.fixture(autouse=True)
def collected_only_here() -> Iterator[None]:
    gc.disable()
    yield
    gc.enable()


def entered_and_dropped(spec: ServerSpec, directories: Directories) -> BlockingServer:
    """A ready server whose block is left to the garbage collector."""
    block = serve(spec, directories=directories)
    server = block.__enter__()[spec.name]
    server.wait_ready(20)
    cycle: list[object] = [block]
    cycle.append(cycle)
    return server


def lives(pid: int | None) -> bool:
    with suppress(psutil.NoSuchProcess):
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    return False


def test_a_dropped_block_stops_its_servers_and_holds_up_no_other_loop(
    make_spec: MakeSpec, directories: Directories
) -> None:
    dropped = entered_and_dropped(make_spec("--ignore-term", force_kill_timeout=1.0), directories)
    pid = dropped.pid
    lived: list[bool] = []

    def collect(_event: Event) -> None:
        if not lived:
            gc.collect()
            lived.append(lives(pid))

    with serve(make_spec(name="other"), directories=directories) as others:
        end = others.listen(collect)
        others["other"].restart()
        assert lived == [True]  # so nobody has waited for its stop
        eventually(lambda: not lives(pid))
        end()

    eventually(lambda: not [one for one in threading.enumerate() if one.name == "hostler"])

    with pytest.raises(ServerError, match="has ended"):
        dropped.stop()


def test_a_block_that_is_collected_on_its_own_thread_stops_its_servers(
    make_spec: MakeSpec, directories: Directories
) -> None:
    block = serve(make_spec(), directories=directories)
    servers = block.__enter__()
    server = servers["fake"]
    server.wait_ready(20)
    pid = server.pid
    servers.listen(lambda _event: print(gc.collect()))
    cycle: list[object] = [block]
    cycle.append(cycle)
    del block, cycle, servers

    with suppress(ServerError):
        server.restart()  # whose first event collects it

    eventually(lambda: not lives(pid) and not lives(server.pid))
    eventually(lambda: not [one for one in threading.enumerate() if one.name == "hostler"])
    assert [path for path in directories.state.rglob("*") if path.is_file()] == []


def kept_up(spec: ServerSpec, directories: Directories) -> Generator[int | None, None, None]:
    """A generator that has a block around its yield."""
    with serve(spec, directories=directories) as servers:
        servers[spec.name].wait_ready(20)
        yield servers[spec.name].pid


@pytest.mark.parametrize("elsewhere", [False, True])
def test_who_ends_a_generator_with_a_block_waits_for_it_on_the_thread_that_entered_it_alone(
    make_spec: MakeSpec, directories: Directories, elsewhere: bool
) -> None:
    generator = kept_up(make_spec("--ignore-term", force_kill_timeout=1.0), directories)
    pid = next(generator)

    if elsewhere:
        thread = threading.Thread(target=generator.close)
        thread.start()
        thread.join()
    else:
        generator.close()

    assert lives(pid) is elsewhere
    eventually(lambda: not lives(pid))
    eventually(lambda: not [one for one in threading.enumerate() if one.name == "hostler"])


@pytest.mark.parametrize(
    "use",
    [
        lambda server: server.start(),
        lambda server: server.stop(),
        lambda server: server.force_stop(),
        lambda server: server.restart(),
        lambda server: server.wait_ready(),
        lambda server: server.wait_stopped(),
        lambda server: anext(server.events()),
        lambda server: anext(server.lines()),
        lambda server: anext(server.stream_events()),
    ],
)
async def test_a_server_that_is_used_from_another_event_loop_says_so(
    make_spec: MakeSpec, directories: Directories, use: Callable[[Server], object]
) -> None:
    await refused_elsewhere(make_spec(), directories, lambda supervisor: use(supervisor["fake"]))


@pytest.mark.parametrize(
    "use",
    [
        lambda supervisor: supervisor.start(),
        lambda supervisor: supervisor.stop(),
        lambda supervisor: supervisor.wait_ready(),
        lambda supervisor: supervisor.wait(),
        lambda supervisor: supervisor.remove("fake"),
        lambda supervisor: supervisor.reload(ServerSpec(name="other", command=("true",))),
        lambda supervisor: supervisor.close(),
        lambda supervisor: anext(supervisor.events()),
    ],
)
async def test_a_supervisor_that_is_used_from_another_event_loop_says_so(
    make_spec: MakeSpec, directories: Directories, use: Callable[[Supervisor], object]
) -> None:
    await refused_elsewhere(make_spec(), directories, use)


async def refused_elsewhere(
    spec: ServerSpec, directories: Directories, use: Callable[[Supervisor], object]
) -> None:
    async def elsewhere(supervisor: Supervisor) -> None:
        with pytest.raises(ServerError, match="another event loop"):
            await use(supervisor)  # type: ignore[misc]

    async with Supervisor(spec, directories=directories) as supervisor:
        await supervisor["fake"].wait_ready(20)
        pid = supervisor["fake"].pid
        await asyncio.to_thread(lambda: asyncio.run(elsewhere(supervisor)))
        assert (supervisor["fake"].usable, supervisor["fake"].pid) == (True, pid)


def test_a_supervisor_whose_loop_is_gone_says_so(
    make_spec: MakeSpec, directories: Directories, tmp_path: Path
) -> None:
    loop = asyncio.new_event_loop()
    supervisor = Supervisor(make_spec(), directories=directories)
    loop.run_until_complete(supervisor.__aenter__())

    async def use() -> None:
        with pytest.raises(ServerError, match="another event loop"):
            await supervisor["fake"].wait_ready(20)

    asyncio.run(use())
    loop.run_until_complete(supervisor.close())
    loop.close()
