"""Servers are added to a supervisor and removed from it."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from textwrap import dedent

import anyio
import pytest
from hostler import (
    Configuration,
    CrashRecord,
    Directories,
    Event,
    InvalidConfiguration,
    MemorySampled,
    Server,
    ServerError,
    State,
    Supervisor,
    load,
)
from hostler.records.status_store import StatusStore
from reloading import configuration, notices, pids, ready, story
from servers import fake_server
from specs import QUICK, MakeSpec

__all__ = ["configuration"]


# -- add -----------------------------------------------------------------------------------------


async def test_a_server_is_added_from_a_template_and_started(
    configuration: Configuration, directories: Directories
) -> None:
    events: list[Event] = []

    async with Supervisor(configuration, directories=directories) as supervisor:
        supervisor.listen(events.append)
        server = await supervisor.add("fake", "second", word="two")
        lines = server.lines()
        await ready(supervisor)
        assert supervisor["second"] is server
        assert (await anext(lines)).text == "two"
        assert list(supervisor) == ["first", "second"]
        assert server.spec.name == "second"

    assert notices(events)[0] == "second server_added"
    assert story(events)[-1].endswith("stopped")
    assert "second stopped" in story(events)
    assert list(directories.state.rglob("*.json")) == []


async def test_a_spec_is_added_and_without_autostart_not_started(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor([], directories=directories) as supervisor:
        server = await supervisor.add(make_spec(name="late", autostart=False))
        assert server.state is State.STOPPED
        await server.start()
        await ready(supervisor, "late")


async def test_an_added_server_needs_others_and_stops_before_them(
    make_spec: MakeSpec, directories: Directories
) -> None:
    events: list[Event] = []
    async with Supervisor(make_spec(name="db", autostart=False), directories=directories) as supervisor:
        supervisor.listen(events.append)
        await supervisor.add(make_spec("--term-delay", "0.2", name="web", needs=("db",)))
        await ready(supervisor, "web")
    told = story(events)
    assert told.index("db running") < told.index("web waiting_ready")
    assert told.index("web stopped") < told.index("db stopping")


async def test_a_name_that_is_in_use_is_refused(
    configuration: Configuration, make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(configuration, directories=directories) as supervisor:
        with pytest.raises(ServerError, match="^first: there is a server of this name") as caught:
            await supervisor.add("fake", "first", word="x")
        assert "remove it first" in caught.value.context.hint


async def test_of_two_adds_of_one_name_at_once_one_wins(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor([], directories=directories) as supervisor:
        results = await asyncio.gather(
            *(supervisor.add(make_spec(name="same")) for _ in range(5)), return_exceptions=True
        )
        assert len([result for result in results if isinstance(result, Server)]) == 1
        assert len([result for result in results if isinstance(result, ServerError)]) == 4
        await ready(supervisor)
        assert supervisor["same"].generation == 1


async def test_what_cannot_be_added_is_told_and_nothing_changes(
    configuration: Configuration, make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(configuration, directories=directories) as supervisor:
        with pytest.raises(
            InvalidConfiguration, match="there is no template 'fak'; there are: fake"
        ) as caught:
            await supervisor.add("fak", "new", word="x")
        assert caught.value.context.hint == 'did you mean "fake"?'
        with pytest.raises(InvalidConfiguration, match="needs the parameter word"):
            await supervisor.add("fake", "new")
        with pytest.raises(InvalidConfiguration, match='no parameter of this name; did you mean "word"'):
            await supervisor.add("fake", "new", word="x", wrd="y")
        with pytest.raises(InvalidConfiguration, match="1 to 64 letters"):
            await supervisor.add("fake", "a b", word="x")
        with pytest.raises(InvalidConfiguration, match="made of the template 'fake' needs a name"):
            await supervisor.add("fake", word="x")
        with pytest.raises(InvalidConfiguration, match=r'servers\.new\.needs\[0\]: there is no server "db"'):
            await supervisor.add(make_spec(name="new", needs=("db",)))
        with pytest.raises(TypeError, match="has its name already"):
            await supervisor.add(make_spec(name="new"), "other")
        assert list(supervisor) == ["first"]

    async with Supervisor(make_spec(), directories=directories) as supervisor:
        with pytest.raises(InvalidConfiguration, match="there is no template 'x'; there are none"):
            await supervisor.add("x", "new")


async def test_parameters_may_be_called_as_the_arguments_are(
    tmp_path: Path, directories: Directories
) -> None:
    file = tmp_path / "a.toml"
    file.write_text(
        "[templates.t]\nparameters = { name = '', what = '', self = '' }\nport = false\n"
        "command = ['sleep', '60', '${parameter.name}', '${parameter.what}', '${parameter.self}']\n"
    )
    async with Supervisor(load(file), directories=directories) as supervisor:
        server = await supervisor.add("t", "new", name="a", what="b", self="c")
        assert server.spec.command[2:] == ("a", "b", "c")


async def test_nothing_is_changed_before_the_block_and_after_it(
    make_spec: MakeSpec, directories: Directories
) -> None:
    supervisor = Supervisor(make_spec(), directories=directories)

    for _ in range(2):
        with pytest.raises(ServerError, match="does not run, or is about to end"):
            await supervisor.add(make_spec(name="other"))
        with pytest.raises(ServerError, match="does not run, or is about to end"):
            await supervisor.remove("fake")
        with pytest.raises(ServerError, match="does not run, or is about to end"):
            await supervisor.reload([])
        if supervisor["fake"].generation == 0:
            async with supervisor:
                await ready(supervisor)


async def test_an_add_while_all_are_being_stopped_is_refused(
    make_spec: MakeSpec, directories: Directories
) -> None:
    supervisor = Supervisor(make_spec("--term-delay", "0.5"), directories=directories)
    async with supervisor:
        await ready(supervisor)
        closing = asyncio.create_task(supervisor.close())
        await supervisor["fake"].until(lambda: supervisor["fake"].state is State.STOPPING)
        with pytest.raises(ServerError, match="about to end"):
            await supervisor.add(make_spec(name="late"))
        await closing

    assert list(supervisor) == ["fake"]


async def test_an_added_server_is_kept_as_all_others_are(
    make_spec: MakeSpec, directories: Directories
) -> None:
    """It crashes and comes back, its memory is told, its crash and its state are written down."""
    crashes: list[CrashRecord] = []

    async with Supervisor([], directories=directories, namespace="test") as supervisor:
        server = await supervisor.add(make_spec(name="late", memory_interval=0.1))
        own = server.events()
        await ready(supervisor, "late")
        os.kill(server.pid or 0, 9)
        await server.until(lambda: server.generation == 2)
        await ready(supervisor, "late")
        with anyio.fail_after(10):
            async for event in own:
                if isinstance(event, MemorySampled):
                    break
        data_dir = server.data_dir
        crashes.extend(server.crashes)

    assert len(crashes) == 1
    status = StatusStore(data_dir).read("late")
    assert status is not None
    assert status.state is State.STOPPED
    assert len(list((data_dir / "crashes").rglob("*.json"))) == 1


def test_an_added_server_dies_with_a_program_that_ends_without_clean_up(
    tmp_path: Path, marked: Callable[[str], list[int]]
) -> None:
    mark = str(tmp_path / "mark")
    command = fake_server("--port", "${server.port}", "--spawn-session-child", "--first", mark)
    program = f"""
    import asyncio, sys
    from hostler import Directories, ServerSpec, Supervisor
    from pathlib import Path

    async def live():
        supervisor = Supervisor([], directories=Directories(*(Path({str(tmp_path)!r}) / n for n in "abc")))
        await supervisor.__aenter__()
        spec = ServerSpec(name="late", command=tuple({command!r}))
        server = await supervisor.add(spec)
        await server.wait_ready(20)
        print("ready", flush=True)
        sys.exit(3)

    asyncio.run(live())
    """
    done = subprocess.run(
        [sys.executable, "-c", dedent(program)], capture_output=True, text=True, check=False, timeout=60
    )
    assert (done.stdout, done.returncode) == ("ready\n", 3), done.stderr
    assert marked(mark) == []


# -- remove --------------------------------------------------------------------------------------


async def test_a_removed_server_is_stopped_to_its_last_process_and_forgotten(
    make_spec: MakeSpec, directories: Directories, marked: Callable[[str], list[int]], tmp_path: Path
) -> None:
    events: list[Event] = []
    mark = str(tmp_path / "mark")
    specs = [make_spec(name="a"), make_spec("--double-fork-child", "--first", mark, name="b")]
    async with Supervisor(specs, directories=directories) as supervisor:
        supervisor.listen(events.append)
        await ready(supervisor)
        server, own = supervisor["b"], supervisor["b"].events()
        before = pids(supervisor)["a"]
        await supervisor.remove("b")
        assert marked(mark) == []
        assert list(supervisor) == ["a"]
        assert pids(supervisor) == {"a": before}
        assert story(events)[-1] == "b stopped"
        assert notices(events) == ["b server_removed"]
        with anyio.fail_after(5):
            assert [event async for event in own]  # it ends
        with pytest.raises(KeyError, match="no server 'b'; there are: a"):
            await supervisor.remove("b")
        with pytest.raises(ServerError, match="its supervisor does not run, or has removed it"):
            await server.start()
        await supervisor.add(make_spec(name="b"))  # its name is free again
        await ready(supervisor)


async def test_what_others_need_is_not_removed(make_spec: MakeSpec, directories: Directories) -> None:
    specs = [make_spec(name="db"), make_spec(name="web", needs=("db",)), make_spec(name="app", needs=("db",))]
    async with Supervisor(specs, directories=directories) as supervisor:
        await ready(supervisor)
        with pytest.raises(ServerError, match="^db: it cannot be removed: web, app need it") as caught:
            await supervisor.remove("db")
        assert caught.value.context.hint == "remove web, app first"
        assert supervisor["db"].state is State.RUNNING
        await supervisor.remove("web")
        await supervisor.remove("app")
        await supervisor.remove("db")
        assert len(supervisor) == 0


async def test_a_server_that_starts_or_waits_for_its_restart_is_removed_at_once(
    make_spec: MakeSpec, directories: Directories
) -> None:
    slow = replace(QUICK, initial_delay=60.0, max_delay=60.0)
    specs = [
        make_spec("--announce-delay", "60", name="a"),
        make_spec("--exit-after", "0", name="b", restart=slow),
    ]
    async with Supervisor(specs, directories=directories) as supervisor:
        await supervisor["a"].until(lambda: supervisor["a"].state is State.WAITING_READY)
        await supervisor["b"].until(lambda: supervisor["b"].state is State.BACKOFF)
        with anyio.fail_after(10):
            await supervisor.remove("a")
            await supervisor.remove("b")
            await supervisor.wait()


async def test_two_removals_of_one_server_at_once_are_one(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec("--term-delay", "0.2"), directories=directories) as supervisor:
        await ready(supervisor)
        results = await asyncio.gather(
            supervisor.remove("fake"), supervisor.remove("fake"), return_exceptions=True
        )
        assert [type(result) for result in results] == [type(None), KeyError]


async def test_a_removal_whose_caller_is_cancelled_goes_to_its_end(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec("--term-delay", "0.3"), directories=directories) as supervisor:
        await ready(supervisor)
        server = supervisor["fake"]
        task = asyncio.create_task(supervisor.remove("fake"))
        await server.until(lambda: server.state is State.STOPPING)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert "fake" in supervisor.servers
        await supervisor.add(make_spec(name="fake"))  # comes after it


async def test_a_server_cannot_be_started_while_it_is_removed(
    make_spec: MakeSpec, directories: Directories
) -> None:
    async with Supervisor(make_spec("--term-delay", "0.3"), directories=directories) as supervisor:
        await ready(supervisor)
        server = supervisor["fake"]
        removal = asyncio.create_task(supervisor.remove("fake"))
        await server.until(lambda: server.state is State.STOPPING)
        with pytest.raises(ServerError):
            await server.start()
        await removal
        assert len(supervisor) == 0
