"""Who can reach what: hostler itself by its user alone, a server by those who know its password."""

from __future__ import annotations

import asyncio
import base64
import signal
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest
from cli_project import CommandLine, Project, eventually, five_plugins
from controlled import short_folder
from hostler.testing.demo_server import DemoServer


def status_of(url: str, password: str | None, **headers: str) -> int:
    """What a server on this machine answers, asked without any proxy."""
    request = urllib.request.Request(url, headers=headers)

    if password is not None:
        token = base64.b64encode(f"opencode:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {token}")

    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


@pytest.mark.parametrize(
    ("words", "has_socket", "tcp"),
    [
        ([], True, []),
        (["--no-control"], False, []),
        (["--set", "control.socket=false"], False, []),
        (["--set", 'control.tcp="127.0.0.1:0"'], True, ["127.0.0.1"]),
    ],
)
def test_hostler_itself_listens_on_one_private_socket_at_most_and_where_it_was_asked_to(
    world: Project, words: list[str], has_socket: bool, tcp: list[str]
) -> None:
    with short_folder() as folder:
        running = world.hostler("run", world.fake(), "--json", *words, XDG_RUNTIME_DIR=str(folder))
        listens_where_it_says(running, folder, has_socket, tcp)


def listens_where_it_says(running: CommandLine, folder: Path, has_socket: bool, tcp: list[str]) -> None:
    server = running.event(event="state", state="running")["pid"]
    if has_socket:
        eventually(lambda: any((folder / "hostler").glob("*.json")))
    sockets = psutil.Process(running.process.pid).net_connections("inet")
    listening = [c.laddr.ip for c in sockets if c.status == "LISTEN"]
    named = [c for c in psutil.Process(running.process.pid).net_connections("unix") if c.laddr]
    reachable = [c.laddr.ip for c in psutil.Process(server).net_connections() if c.status == "LISTEN"]
    assert (listening, reachable) == (tcp, ["127.0.0.1"])
    assert [Path(str(c.laddr)).parent for c in named] == ([folder / "hostler"] if has_socket else [])
    assert running.stop(signal.SIGTERM) == 0


def test_a_server_answers_nobody_who_does_not_know_its_password(world: Project) -> None:
    running = world.hostler("run", world.fake("--password-from-env", plugins=five_plugins()), "--json")
    ready = running.event(event="state", state="running")
    password = psutil.Process(ready["pid"]).environ()["OPENCODE_SERVER_PASSWORD"]
    config = f"{ready['url']}/config"
    assert [status_of(config, tried) for tried in (None, "", "opencode", password[:-1])] == [401] * 4
    assert status_of(config, password) == 200
    assert status_of(config, None, Origin="https://evil.example", Host="evil.example") == 401
    assert running.stop(signal.SIGTERM) == 0


@pytest.mark.parametrize("path", ["/", "/event", "/global/health"])
@pytest.mark.parametrize("host", ["localhost", "evil.example"])
async def test_the_demo_server_invites_no_page_of_another_site(path: str, host: str) -> None:
    server = await asyncio.start_server(DemoServer().serve, "127.0.0.1", 0)
    async with server:
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {host}\r\nOrigin: https://evil.example\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
        writer.close()
        await writer.wait_closed()

    assert head.startswith("http/1.1 200 " if host == "localhost" else "http/1.1 403 ")
    assert "access-control-allow" not in head
    assert "x-content-type-options: nosniff" in head
