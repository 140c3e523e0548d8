"""What OpenCode keeps for an idle directory is released, and nothing of a busy one."""

from __future__ import annotations

import asyncio
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from urllib.parse import quote

import anyio
import hostler
import psutil
import pytest
from anyio.abc import SocketAttribute, SocketStream
from anyio.lowlevel import checkpoint
from hostler import Endpoint, Event, Notice, RestartNotIdle, Server, Supervisor
from hostler_plugins.opencode import OpenCode, profiles
from hostler_plugins.opencode.idle_directories import Directories, DirectoryActivity
from opencode_binaries import NEWEST, opencode_binary
from opencode_context import Context, a_launch, clean_up
from opencode_requests import request

MCP = """
import json, sys
for line in sys.stdin:
    message = json.loads(line)
    if "id" in message:
        result = {"tools": []}
        if message["method"] == "initialize":
            result = {"protocolVersion": message["params"]["protocolVersion"], "capabilities": {"tools": {}},
                      "serverInfo": {"name": "small", "version": "1"}}
        print(json.dumps({"jsonrpc": "2.0", "id": message["id"], "result": result}), flush=True)
"""
IDLE = 1.0


def event(directory: str, kind: str = "session.updated", disposed: str = "") -> bytes:
    payload = {"type": kind, "properties": {"directory": disposed}}
    return b"data: " + json.dumps({"directory": directory, "payload": payload}).encode()


def test_a_directory_is_quiet_when_its_last_event_is_old_enough() -> None:
    activity = DirectoryActivity("/own")
    for line in (event("/a"), event("/own"), event("global"), b": comment", b"", b'data: {"payload":{}}'):
        activity.heard(line, 1.0)
    activity.heard(event("/b"), 5.0)
    assert activity.quiet(6.0, 3.0) == ["/a"]
    activity.heard(event("/b", "server.instance.disposed", "/a"), 6.0)
    assert activity.quiet(9.0, 3.0) == ["/b"]


@pytest.mark.parametrize("line", [b"data: {", b"data: []", b'data: "text"'])
def test_an_event_that_cannot_be_read_may_concern_every_directory(line: bytes) -> None:
    activity = DirectoryActivity("/own")
    activity.heard(event("/a"), 1.0)
    activity.heard(line, 5.0)
    assert activity.quiet(6.0, 3.0) == []


@pytest.mark.parametrize(
    ("version", "tells"),
    [("1.1.34", False), ("1.14.34", True), ("1.18.34", True), ("local", True), ("2.0.1", False)],
)
def test_only_versions_that_tell_what_runs_are_asked(version: str, tells: bool) -> None:
    assert profiles.tells_activity(profiles.profile_of(version), version) is tells


async def test_a_version_without_a_way_to_dispose_is_told(view: Context) -> None:
    view.facts = {"version": "1.0.0"}
    await OpenCode(dispose_idle=1.0).on_ready(view, Endpoint("127.0.0.1", 1))  # type: ignore[arg-type]
    assert "1.0.0" in view.noticed("dispose_unsupported")
    assert not view.beside


@asynccontextmanager
async def served(kind: str) -> AsyncIterator[Endpoint]:
    """A server that answers every request with nothing of this content type."""

    async def answer(stream: SocketStream) -> None:
        async with stream:
            await stream.receive()
            head = f"HTTP/1.1 200 OK\r\nContent-Type: {kind}\r\nContent-Length: 0\r\n\r\n"
            await stream.send(head.encode())

    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as here,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(here.serve, answer)
        yield Endpoint("127.0.0.1", here.extra(SocketAttribute.local_port))
        tasks.cancel_scope.cancel()


async def test_a_server_without_the_event_stream_is_told_once_and_no_more_asked(view: Context) -> None:
    with anyio.fail_after(10):
        async with served("text/html") as endpoint:
            await Directories(view, endpoint, IDLE).run()
    assert [notice.topic for notice in view.notices] == ["dispose_unsupported"]


@pytest.mark.parametrize("kind", ["text/event-stream", "application/json"])
async def test_nothing_is_disposed_of_while_the_state_is_unknown(kind: str, view: Context) -> None:
    """The stream ends again and again, or what the server says of its sessions is no answer."""
    async with served(kind) as endpoint:
        idle = Directories(view, endpoint, IDLE)
        assert await idle.consider("/a")
        with anyio.move_on_after(1.2) as scope:
            await idle.run()
    assert scope.cancelled_caught
    assert not view.notices


@pytest.mark.parametrize(
    ("sessions", "running"),
    [
        ('{"ses_1":{"type":"busy"},"ses_2":{"type":"idle"}}', ["session ses_1 in /own"]),
        ("{}", []),
        ("null", None),
        ("", None),  # it hangs up
    ],
)
async def test_what_runs_is_asked_for_and_unknown_without_an_answer(
    sessions: str, running: list[str] | None, view: Context
) -> None:
    async def answer(stream: SocketStream) -> None:
        async with stream:
            path = (await stream.receive()).split()[1].partition(b"?")[0]
            if path == b"/global/event":
                await stream.send(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: here\n\n")
                await anyio.sleep_forever()
            body = "[]" if path == b"/pty" else sessions
            head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
            if body:
                await stream.send(f"{head}Connection: close\r\n\r\n{body}".encode())

    view.facts = {"directory": "/own"}
    async with (
        await anyio.create_tcp_listener(local_host="127.0.0.1") as here,
        anyio.create_task_group() as tasks,
    ):
        tasks.start_soon(here.serve, answer)
        directories = Directories(view, Endpoint("127.0.0.1", here.extra(SocketAttribute.local_port)), None)
        assert await directories.what_runs() is None  # it does not follow the events yet
        tasks.start_soon(directories.run)
        with anyio.fail_after(10):
            while not directories._connected:
                await checkpoint()
            assert await directories.what_runs() == running
        tasks.cancel_scope.cancel()


async def test_withheld_provider_keys_are_told_once_with_the_line_to_add(view: Context) -> None:
    program = view.root / "bin" / "opencode"
    program.parent.mkdir()
    program.write_text("#!/bin/sh\necho 1.18.3\n")
    program.chmod(0o755)
    plugin, launch = OpenCode(binary=program), a_launch(view)
    launch.host_env = {"OPENAI_API_KEY": "sk-1", "GROQ_API_KEY": "sk-2", "EDITOR": "vi", "PATH": "/bin"}
    launch.env["GROQ_API_KEY"] = "sk-2"
    await plugin.pre_spawn(view, launch)
    for _ in range(2):
        await plugin.on_ready(view, None)
    clean_up(launch)
    (notice,) = [one for one in view.notices if one.topic == "keys_withheld"]
    assert 'OPENAI_API_KEY = { secret = "env:OPENAI_API_KEY" }' in notice.text
    assert "GROQ" not in notice.text
    assert "sk-1" not in notice.text


def projects(root: Path, *names: str) -> list[Path]:
    """Folders of projects, each with an MCP server of its own."""
    (root / "mcp.py").write_text(MCP)
    folders = []
    for name in names:
        folder = root / name
        folder.mkdir()
        server = {"type": "local", "command": [sys.executable, str(root / "mcp.py"), name], "enabled": True}
        (folder / "opencode.json").write_text(json.dumps({"mcp": {"small": server}}))
        folders.append(folder)
    return folders


@asynccontextmanager
async def opencode(root: Path, version: str = NEWEST, **more: object) -> AsyncIterator[Server]:
    for name in ("home", "own"):
        (root / name).mkdir()
    options = {"binary": str(opencode_binary(version)), "offline": True, **more}
    table = {
        "cwd": str(root / "own"),
        "env": {"HOME": str(root / "home")},
        "startup_timeout": "90s",
        "plugins": {"opencode": options, "regex-port": True},
    }
    folders = hostler.Directories(root / "state", root / "data", root / "cache")
    async with Supervisor({"servers": {"opencode": table}}, directories=folders) as supervisor:
        await supervisor.wait_ready()
        yield supervisor["opencode"]


async def ask(server: Server, path: str, folder: Path, method: str = "GET", body: object = None) -> bytes:
    url = f"{server.url}{path}?directory={quote(str(folder))}"
    status, text = await asyncio.to_thread(request, url, server.auth, method=method, body=body, timeout=60)
    assert status == 200, text
    return text


def mcp_servers(server: Server, name: str) -> list[int]:
    def is_one(pid: int) -> bool:
        try:
            words = psutil.Process(pid).cmdline()
        except psutil.NoSuchProcess:
            return False
        return len(words) > 1 and words[1].endswith("mcp.py") and words[-1] == name

    return [pid for pid in server.members() if is_one(pid)]


async def next_disposed(events: AsyncIterator[Event]) -> Notice:
    with anyio.fail_after(30):
        async for event in events:
            if isinstance(event, Notice) and event.topic == "disposed":
                return event
    raise AssertionError("the events have ended")


@pytest.mark.opencode
async def test_idle_directories_lose_their_mcp_servers_and_busy_ones_keep_them(tmp_path: Path) -> None:
    idle, busy = projects(tmp_path, "idle", "busy")
    async with opencode(tmp_path, dispose_idle=f"{IDLE:g}s") as server:
        events = server.events()
        session = json.loads(await ask(server, "/session", busy, "POST", {}))["id"]
        await ask(server, "/mcp", busy)
        command = {"agent": "build", "command": f"until [ -e {tmp_path}/go ]; do sleep 0.1; done"}
        work = asyncio.create_task(ask(server, f"/session/{session}/shell", busy, "POST", command))
        await ask(server, "/session", idle, "POST", {})
        await ask(server, "/mcp", idle)
        assert mcp_servers(server, "idle")

        # The notice comes 2 s after the request: then they are gone.
        first = await next_disposed(events)
        assert (first.details["directory"], first.details["count"]) == (str(idle), 1)
        assert not mcp_servers(server, "idle")
        assert mcp_servers(server, "busy")
        assert json.loads(await ask(server, "/mcp", idle))["small"]["status"] == "connected"
        assert mcp_servers(server, "idle")

        with pytest.raises(RestartNotIdle, match=session):
            await server.restart(when="idle", within=1)
        (tmp_path / "go").touch()
        await work
        second = await next_disposed(events)
        assert (second.details["directory"], second.details["count"]) == (str(busy), 2)
        assert not mcp_servers(server, "busy")
        assert "MiB before" in second.text
        with anyio.fail_after(60):
            await server.restart(when="idle", within="30s")
        assert server.generation == 2


@pytest.mark.opencode
@pytest.mark.parametrize("version", ["1.14.34", NEWEST])
async def test_without_that_option_too_a_restart_waits_for_what_runs_in_any_directory(
    version: str, tmp_path: Path
) -> None:
    (elsewhere,) = projects(tmp_path, "elsewhere")
    async with opencode(tmp_path, version) as server:
        session = json.loads(await ask(server, "/session", elsewhere, "POST", {}))["id"]
        script = f"touch {tmp_path}/began; until [ -e {tmp_path}/go ]; do sleep 0.1; done"
        command = {"agent": "build", "command": script}
        work = asyncio.create_task(ask(server, f"/session/{session}/shell", elsewhere, "POST", command))
        with anyio.fail_after(60):
            while not (tmp_path / "began").exists():  # noqa: ASYNC110 - another process makes it
                await anyio.sleep(0.05)
        with pytest.raises(RestartNotIdle, match=f"session {session} in {elsewhere}"):
            await server.restart(when="idle", within=2)
        (tmp_path / "go").touch()
        await work

        terminal = json.loads(await ask(server, "/pty", tmp_path / "own", "POST", {}))["id"]
        with pytest.raises(RestartNotIdle, match=f"running: a terminal in {tmp_path}/own"):
            await server.restart(when="idle", within=1)
        await ask(server, f"/pty/{terminal}", tmp_path / "own", "DELETE")
        with anyio.fail_after(60):
            await server.restart(when="idle", within="30s")
        assert server.generation == 2
