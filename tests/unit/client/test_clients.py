"""The Python client, blocking and on asyncio: the same calls, the same errors."""

from __future__ import annotations

import asyncio
import inspect
import os
import re
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import hostler.client
import pytest
from child_environment import without_coverage
from cli_project import eventually
from controlled import Client as Daemon
from controlled import controlled, short_folder
from held_hooks import HeldHook
from hostler import (
    Directories,
    InvalidConfiguration,
    Launch,
    PluginSpec,
    ProcessSpawnFailed,
    __version__,
    from_dict,
    hookimpl,
)
from hostler.client import AsyncClient, Client, Gap, NotRunning, RequestRefused, Unreachable, calls, shapes
from hostler.client.place import Place
from hostler.client.requests import Call
from hostler.control.log_shapes import LogLine, LogRun
from openapi_document import document
from scripted_server import SILENCE, ScriptedServer, answer
from specs import MakeSpec, worker

TWINS = ["Client", "AsyncClient"]
ABOUT = b'{"version":"9.9","api":1,"pid":1,"since":"","configuration":"","cursor":"x-1","capabilities":[]}'


class Twin:
    """Either client, for a test on asyncio: the blocking one does its work in threads."""

    def __init__(self, kind: str, **place: Any) -> None:
        self.client: Any = (Client if kind == "Client" else AsyncClient)(**place)

    async def __call__(self, name: str, *arguments: Any, **named: Any) -> Any:
        method = getattr(self.client, name)
        if isinstance(self.client, Client):
            return await asyncio.to_thread(method, *arguments, **named)
        return await method(*arguments, **named)

    @asynccontextmanager
    async def follow(self, name: str = "follow_events", *names: str, **named: Any) -> AsyncIterator[Any]:
        """A function that waits for the next value; None at the end."""
        if isinstance(self.client, Client):
            with await self(name, *names, **named) as feed:
                yield lambda: asyncio.to_thread(next, feed, None)
        else:
            async with getattr(self.client, name)(*names, **named) as feed:
                yield lambda: anext(feed, None)

    async def all(self, name: str, *arguments: Any, **named: Any) -> list[Any]:
        """What an iterator gives."""
        found = getattr(self.client, name)(*arguments, **named)
        if isinstance(self.client, Client):
            return await asyncio.to_thread(list, found)
        return [one async for one in found]

    async def close(self) -> None:
        await self("close")


@asynccontextmanager
async def twin_of(kind: str, daemon: Daemon) -> AsyncIterator[Twin]:
    twin = Twin(kind, socket=daemon.control.socket)
    try:
        yield twin
    finally:
        await twin.close()


@pytest.mark.parametrize("kind", TWINS)
async def test_answers_come_in_their_types(kind: str, make_spec: MakeSpec, directories: Directories) -> None:
    spec = worker(make_spec, "sleep", "60")
    async with controlled(spec, directories=directories) as daemon, twin_of(kind, daemon) as ask:
        assert ask.client.version == ""
        (row,) = await ask("wait", timeout=20)
        assert (row.name, row.state, row.generation) == ("fake", "running", 1)
        assert ask.client.version == __version__
        about = await ask("about")
        assert (about.pid, about.api) == (os.getpid(), 1)
        assert [one.name for one in (await ask("servers", state="running")).servers] == ["fake"]
        assert (await ask("servers", state="failed")).servers == []
        assert (await ask("server", "fake")).pid == row.pid
        assert (await ask("crashes", "fake")).crashes == []
        assert [one.pid for one in (await ask("processes", "fake")).processes] == [row.pid]
        assert {one.generation for one in (await ask("memory", "fake")).points} <= {1}
        assert (await ask("work", "fake")).idle is None
        assert (await ask("plugins")).hooks == []
        with pytest.raises(RequestRefused):
            await ask("crash", "fake", 1)
        assert (await ask("connection", "fake")).generation == 1
        page = await ask("events", kind="state", limit=1)
        assert [one["event"] for one in page.events] == ["state"]
        assert await ask("is_ready") is True
        assert "/v1/servers" in (await ask("document"))["paths"]
        (outcome,) = (await ask("restart", "fake", generation=1, timeout=20)).servers
        assert (outcome.changed, outcome.server.generation) == (True, 2)
        (outcome,) = (await ask("stop")).servers
        assert (outcome.changed, outcome.server.state) == (True, "stopped")
        (outcome,) = (await ask("start", "fake", wait=False)).servers
        assert isinstance(outcome.server, shapes.ServerRow)


@pytest.mark.parametrize("kind", TWINS)
async def test_problems_are_raised_as_errors(
    kind: str, make_spec: MakeSpec, directories: Directories
) -> None:
    broken = worker(make_spec, "/nowhere/prog", name="broken")
    slow = make_spec("--no-listen", name="slow", autostart=False)
    async with controlled(broken, slow, directories=directories) as daemon, twin_of(kind, daemon) as ask:
        with pytest.raises(RequestRefused, match="there is no server 'none'") as refusal:
            await ask("server", "none")
        assert (refusal.value.kind, refusal.value.status) == ("not_found", 404)
        with pytest.raises(RequestRefused, match="does not offer that"):
            await ask("reload", dry_run=True)
        with pytest.raises(RequestRefused, match="does not offer that"):
            await ask("shutdown")
        with pytest.raises(TimeoutError, match="it is not done in time, and goes on"):
            await ask("start", "slow", timeout=0.1)
        with pytest.raises(RequestRefused) as refusal:
            await ask("wait", "broken", timeout=30)
        assert (refusal.value.kind, refusal.value.context.server) == ("failed", "broken")
        with pytest.raises(ProcessSpawnFailed, match="/nowhere/prog") as failure:
            await ask("start", "broken", timeout=30)
        assert failure.value.context.server == "broken"


@pytest.mark.parametrize("kind", TWINS)
async def test_servers_of_templates_are_added_and_removed(
    kind: str, directories: Directories, tmp_path: Path
) -> None:
    sleeper = {"parameters": {"seconds": {"required": True}}, "command": ["sleep", "${parameter.seconds}"]}
    configuration = from_dict({"templates": {"sleeper": sleeper}, "servers": {}}, base=tmp_path)
    async with controlled(configuration, directories=directories) as daemon, twin_of(kind, daemon) as ask:
        assert (await ask("add", "sleeper", "a", seconds=60)).name == "a"
        with pytest.raises(RequestRefused, match="there is another server of this name") as refusal:
            await ask("add", "sleeper", "a", seconds=61)
        assert refusal.value.kind == "exists"
        with pytest.raises(InvalidConfiguration, match="there is no template 'x'"):
            await ask("add", "x", "b")
        assert await ask("remove", "a") is None
        assert (await ask("servers")).servers == []


@pytest.mark.parametrize("kind", TWINS)
async def test_waiting_ends_with_its_condition_or_its_time(
    kind: str, make_spec: MakeSpec, directories: Directories
) -> None:
    spec = worker(make_spec, "sleep", "60")
    async with controlled(spec, directories=directories) as daemon, twin_of(kind, daemon) as ask:
        (row,) = await ask("wait", "fake", until="healthy", stable=0.2, timeout=20)
        assert row.state == "running"
        with pytest.raises(TimeoutError, match="not stopped after 0.2 s: fake is running"):
            await ask("wait", until="stopped", timeout=0.2)
        with pytest.raises(RequestRefused, match="there is no server 'x'; there are: fake"):
            await ask("wait", "x")
        async with anyio.create_task_group() as group:
            group.start_soon(ask, "stop", "fake")
            (row,) = await ask("wait", "fake", until="stopped")
        assert row.state == "stopped"
        with pytest.raises(RequestRefused) as refusal:
            await ask("wait", "fake")
        assert refusal.value.kind == "stopped"


@pytest.mark.parametrize("kind", TWINS)
async def test_events_are_followed_until_hostler_ends(
    kind: str, make_spec: MakeSpec, directories: Directories
) -> None:
    spec = worker(make_spec, "sleep", "60")
    async with controlled(spec, directories=directories) as daemon, twin_of(kind, daemon) as ask:
        await ask("wait", timeout=20)
        async with ask.follow(kind="state", server="fake") as following:
            await ask("stop", "fake")
            assert [(await following())["state"] for _ in range(2)] == ["stopping", "stopped"]
            await daemon.control.__aexit__(None, None, None)
            with anyio.fail_after(10):
                assert await following() is None
                assert await following() is None
        with pytest.raises(NotRunning):
            await ask("about")


@pytest.mark.parametrize("kind", TWINS)
async def test_following_goes_on_after_a_break_where_it_was(kind: str, tmp_path: Path) -> None:
    head = b"HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
    first = head + b': hello\n\nid: x-2\nevent: state\ndata: {"n": 2}\n\nid: x-3\nevent: st'
    second = head + b'id: x-7\nevent: gap\ndata: {"missed": 4}\n\nid: x-8\ndata: {"n": 8}\n\n'
    with short_folder() as folder, ScriptedServer(folder, [first], [second], [SILENCE]) as server:
        ask = Twin(kind, socket=server.path)
        async with ask.follow(after="x-1") as following:
            assert await following() == {"n": 2}
            assert await following() == Gap(4)
            assert await following() == {"n": 8}
    assert [one.split(" ")[1] for one in server.requests[:2]] == [
        "/v1/events?after=x-1",
        "/v1/events?after=x-2",
    ]


class Jobs:
    """Tells what runs on a server."""

    def __init__(self) -> None:
        self.names = ["build"]
        self.asked = asyncio.Event()

    @hookimpl
    async def pre_spawn(self, launch: Launch) -> None:
        async def what_runs() -> list[str]:
            self.asked.set()
            return self.names

        launch.facts["what_runs"] = what_runs


@pytest.mark.parametrize("kind", TWINS)
async def test_a_quiet_moment_is_waited_for(kind: str, make_spec: MakeSpec, directories: Directories) -> None:
    jobs = Jobs()
    spec = make_spec(command=("sleep", "60"), port=None, plugins=(PluginSpec("jobs", instance=jobs),))
    async with controlled(spec, directories=directories) as daemon, twin_of(kind, daemon) as ask:
        await ask("wait", timeout=20)
        with pytest.raises(TimeoutError, match="not idle after 0.1 s: fake is running"):
            await ask("wait", until="idle", timeout=0.1)
        jobs.asked.clear()
        waiting = asyncio.create_task(ask("wait", "fake", until="idle", timeout=20))
        await jobs.asked.wait()
        jobs.names = []
        (row,) = await waiting
        assert row.name == "fake"


@pytest.mark.parametrize("kind", TWINS)
async def test_a_stream_that_is_refused_raises(kind: str, directories: Directories) -> None:
    async with controlled(directories=directories) as daemon, twin_of(kind, daemon) as ask:
        following = ask.follow("follow_log", "none")
        with pytest.raises(RequestRefused, match="there is no server 'none'"):
            async with following as value:
                await value()


@pytest.mark.parametrize("kind", TWINS)
async def test_a_log_is_read_and_followed_over_restarts(
    kind: str, make_spec: MakeSpec, directories: Directories
) -> None:
    log = PluginSpec("log-rotation", {"index": True})
    command = ("sh", "-c", "echo out; echo err >&2; exec sleep 60")
    spec = make_spec(command=command, port=None, plugins=(log,), name="web")
    async with controlled(spec, directories=directories) as daemon, twin_of(kind, daemon) as ask:
        await ask("wait", timeout=20)
        with anyio.fail_after(20):
            async with ask.follow("follow_log", "web", stream="stdout", last=5) as following:
                first = [await following() for _ in range(2)]
                await ask("restart", "web")
                second = [await following() for _ in range(2)]
                page = await ask("log", "web", after=first[1].cursor, contains="out")
            assert [one.text for one in page.lines] == ["out"]
            *lines, end = await ask.all("read_log", "web", stream="stdout")
            assert [(one.run, one.text) for one in lines] == [(1, "out"), (2, "out")]
            assert (end.missed, await ask.all("read_log", after=end.next)) == ([], [end])
            async with ask.follow("follow_log", after=first[1].cursor, stream="stdout") as following:
                again = [await following() for _ in range(2)]
        assert [(type(one), one.run) for one in (*first, *second)] == [
            (LogRun, 1),
            (LogLine, 1),
            (LogRun, 2),
            (LogLine, 2),
        ]
        assert again[1].cursor == second[1].cursor
        long_ago = datetime(2001, 1, 1, tzinfo=UTC)
        assert (await ask("log", since=long_ago, until=long_ago)).lines == []


@pytest.mark.parametrize("kind", TWINS)
async def test_a_log_without_its_end_is_no_answer_and_a_refusal_is_told(
    kind: str, directories: Directories
) -> None:
    cut = b'HTTP/1.0 200 OK\r\nContent-Type: application/jsonl\r\n\r\n{"text": "cut o'
    with short_folder() as folder, ScriptedServer(folder, [cut]) as server:
        ask = Twin(kind, socket=server.path)
        with pytest.raises(Unreachable, match="went away before"):
            await ask.all("read_log")
    async with controlled(directories=directories) as daemon, twin_of(kind, daemon) as ask:
        with pytest.raises(RequestRefused, match="there is no server 'none'"):
            await ask.all("read_log", "none")


async def test_a_stream_is_closed_from_another_thread(directories: Directories) -> None:
    async with controlled(directories=directories) as daemon, twin_of("Client", daemon) as ask:
        feed = await ask("follow_events")
        waiting = asyncio.create_task(asyncio.to_thread(list, feed))
        await asyncio.to_thread(eventually, lambda: feed._opened is not None)
        feed.close()
        with anyio.fail_after(5):
            assert await waiting == []


@pytest.mark.parametrize("kind", TWINS)
async def test_a_get_is_repeated_when_the_kept_connection_was_closed(kind: str) -> None:
    about = answer(ABOUT)
    with short_folder() as folder, ScriptedServer(folder, [about], [about, b""], [about, b""]) as server:
        ask = Twin(kind, socket=server.path)
        for _ in range(3):
            assert (await ask("about")).version == "9.9"
        assert ask.client.version == "9.9"
        await ask.close()
    assert len(server.requests) in {3, 4}  # the first was seen to be closed, or failed


@pytest.mark.parametrize("kind", TWINS)
async def test_a_command_is_never_sent_twice(kind: str) -> None:
    with short_folder() as folder, ScriptedServer(folder, [answer(ABOUT), b""], [answer(b"{}")]) as server:
        ask = Twin(kind, socket=server.path)
        await ask("about")
        with pytest.raises(Unreachable):
            await ask("stop")
        await ask.close()
    assert len([one for one in server.requests if one.startswith("POST")]) == 1


@pytest.mark.parametrize("kind", TWINS)
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"SSH-2.0-OpenSSH\r\n\r\n", "speaks no HTTP|went away"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 900\r\n\r\n{", "went away before it had answered"),
        (answer(b'{"version": 3}'), "something else than expected"),
        (b"", "went away"),
        (b"x" * 200_000, "speaks no HTTP|went away"),
    ],
)
async def test_what_is_no_answer_is_told(kind: str, data: bytes, reason: str) -> None:
    with short_folder() as folder, ScriptedServer(folder, [data]) as server:
        ask = Twin(kind, socket=server.path)
        with pytest.raises(Unreachable, match=reason):
            await ask("about")
        await ask.close()


@pytest.mark.parametrize("kind", TWINS)
async def test_a_hostler_that_hangs_is_told(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("connection", "streams"):
        monkeypatch.setattr(f"hostler.client.{module}.PATIENCE", 0.1)
    with short_folder() as folder, ScriptedServer(folder, [SILENCE], [SILENCE]) as server:
        ask = Twin(kind, socket=server.path)
        with pytest.raises(Unreachable, match=r"hostler has not answered for 0\.2 s"):
            await ask("about")


@pytest.mark.parametrize("kind", TWINS)
async def test_one_that_is_busy_but_alive_is_waited_for_as_long_as_is_said(
    kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("connection", "streams"):
        monkeypatch.setattr(f"hostler.client.{module}.PATIENCE", 0.1)
    lives = [[answer(b"")] for _ in range(20)]
    with short_folder() as folder, ScriptedServer(folder, [SILENCE], *lives) as server:
        ask = Twin(kind, socket=server.path, timeout=0.5)
        with pytest.raises(TimeoutError, match="it is not done in time"):
            await ask("about")
    assert "GET /livez" in server.requests[1]


@pytest.mark.parametrize("kind", TWINS)
async def test_an_address_gets_its_token_and_no_name_of_its_own(kind: str, tmp_path: Path) -> None:
    with ScriptedServer(tmp_path, [answer(ABOUT)], tcp=True) as server:
        ask = Twin(kind, address=f"http://{server.address}", token="t0ken")
        assert (await ask("about")).version == "9.9"
        await ask.close()
    assert "Authorization: Bearer t0ken\r\n" in server.requests[0]
    assert f"Host: {server.address}\r\n" in server.requests[0]
    with pytest.raises(ValueError, match="an address is \"127.0.0.1:4711\" or a URL, found 'x'"):
        Twin(kind, address="x")


@pytest.mark.parametrize("kind", TWINS)
async def test_fields_that_are_not_known_are_ignored(kind: str) -> None:
    newer = ABOUT.replace(b"{", b'{"news": {"a": [1]}, ', 1)
    with short_folder() as folder, ScriptedServer(folder, [answer(newer)]) as server:
        ask = Twin(kind, socket=server.path)
        assert (await ask("about")).version == "9.9"
        await ask.close()


@pytest.mark.parametrize("kind", TWINS)
async def test_what_another_version_lacks_is_told_with_both_versions(kind: str) -> None:
    problem = b'{"type":"/problems/unsupported","title":"","status":404,"detail":"there is no /v1/plugins"}'
    lacking = answer(problem).replace(b"200 OK", b"404 Not Found")
    with short_folder() as folder, ScriptedServer(folder, [lacking], [answer(b"{}")]) as server:
        ask = Twin(kind, socket=server.path)
        for refused in (RequestRefused, Unreachable):
            with pytest.raises(refused, match=f"the hostler that answers is 9.9, this is {__version__}"):
                await ask("plugins")
            await ask.close()


@pytest.mark.parametrize("kind", TWINS)
async def test_it_finds_the_hostler_of_a_configuration(kind: str, directories: Directories) -> None:
    async with controlled(directories=directories) as daemon:
        folder = Path(daemon.control.socket).parents[2]
        environ = {"XDG_STATE_HOME": str(folder)}
        ask = Twin(kind, configuration=folder / "hostler.toml", environ=environ)
        assert (await ask("about")).configuration == str(folder / "hostler.toml")
        await ask.close()
        other = Twin(kind, configuration=folder / "other.toml", environ=environ)
        with pytest.raises(NotRunning, match="no hostler supervises .*other.toml now"):
            await other("about")


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


@pytest.mark.parametrize("kind", TWINS)
async def test_nothing_stays_open(kind: str, directories: Directories) -> None:
    async with controlled(directories=directories) as daemon:
        await daemon.get("/v1")
        before = descriptors()
        for _ in range(5):
            async with twin_of(kind, daemon) as ask:
                await ask("about")
                async with ask.follow(kind="none"):
                    pass
                with pytest.raises(RequestRefused):
                    await ask("server", "none")
        await asyncio.to_thread(eventually, lambda: descriptors() <= before)


async def test_a_cancelled_command_goes_on_and_its_connection_is_closed(
    make_spec: MakeSpec, directories: Directories
) -> None:
    held = HeldHook("pre_spawn")  # else it could be done before it is cancelled
    plugins = (PluginSpec("holds", instance=held),)
    spec = make_spec(command=("sleep", "60"), port=None, plugins=plugins, autostart=False)
    async with controlled(spec, directories=directories) as daemon, twin_of("AsyncClient", daemon) as ask:
        command = asyncio.create_task(ask("start", "fake"))
        await asyncio.to_thread(eventually, lambda: daemon.supervisor["fake"].wanted)
        command.cancel()
        with pytest.raises(asyncio.CancelledError):
            await command
        held.release.set()
        assert (await ask("wait", "fake", timeout=20))[0].state == "running"


def test_no_text_of_a_client_has_a_secret() -> None:
    place = Place.choose("", None, "127.0.0.1:4711", "mallow-token", {}, None)
    reload = calls.reload(environment={"KEY": "mallow-value"})
    assert b"mallow-value" in reload.body
    assert "mallow" not in f"{place!r} {reload!r}"


def test_every_public_name_is_in_the_reference() -> None:
    page = (Path(__file__).parents[3] / "docs" / "reference" / "client.md").read_text()
    assert [name for name in hostler.client.__all__ if not re.search(rf"\b{name}\b", page)] == []


def test_the_twins_have_the_same_calls() -> None:
    def calls_of(client: type) -> dict[str, str]:
        found = inspect.getmembers(client, inspect.isfunction)
        return {name: str(inspect.signature(one)) for name, one in found if not name.startswith("_")}

    blocking, asynchronous = calls_of(Client), calls_of(AsyncClient)
    assert blocking == asynchronous


def test_every_route_has_its_call() -> None:
    public = [name for name, value in vars(Client).items() if inspect.isfunction(value) and name[0] != "_"]
    made = [_made(getattr(calls, name)) for name in [*public, "live"] if hasattr(calls, name)]
    made.append(calls.configuration("{name}"))
    called = {
        (one.method.lower(), one.target.replace("%7B", "{").replace("%7D", "}"))
        for one in made
        if isinstance(one, Call)
    }
    routes = {(method, path) for path, methods in document()["paths"].items() for method in methods}
    # For one server there is the command for several.
    singular = {("get", "/v1/servers/{name}/log")} | {
        ("post", f"/v1/servers/{{name}}/{verb}") for verb in ("start", "stop", "restart")
    }
    # Metrics are text for a scraper, which needs no client.
    assert called == routes - singular - {("get", "/metrics")}


def _made(build: Any) -> Any:
    """The call with a name for each argument that it must have."""
    parameters = inspect.signature(build).parameters.values()
    several = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}
    needed = [one for one in parameters if one.default is one.empty and one.kind not in several]
    return build(*[f"{{{one.name}}}" for one in needed])


def test_its_import_brings_no_engine_and_no_loop() -> None:
    program = "import sys; from hostler.client import Client; Client(); print(*sys.modules)"
    env = without_coverage()
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env
    )
    loaded = set(done.stdout.split())
    assert not loaded & {"asyncio", "anyio", "aiohttp", "click", "rich"}
    packages = {".".join(name.split(".")[:2]) for name in loaded if name.startswith("hostler.")}
    assert packages <= {
        "hostler.client",
        "hostler.control",
        "hostler.errors",
        "hostler.files",
        "hostler.imports",
        "hostler.text",
        "hostler.version",
    }
    program = "import sys, hostler; print('hostler.client' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True, env=env
    )
    assert done.stdout == "False\n"
