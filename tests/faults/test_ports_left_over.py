"""Ports that nobody listens at any more, and that are not free all the same: connections are left over."""

from __future__ import annotations

import os
import socket
import struct
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import anyio
import pytest
from cli_project import QUICK, Project
from fault_setup import ONCE, notices
from hostler import Event, Server, State
from hostler.process.net.ownership import has_closing_connections
from hostler.process.net.ports import free_port

pytestmark = [
    pytest.mark.usefixtures("nothing_is_left"),
    pytest.mark.skipif(sys.platform != "linux", reason="the rules of Linux"),
]

# As in many a tutorial: without SO_REUSEADDR. It keeps the connection open, and says where it listens.
SERVER = """
import socket, sys
one = socket.socket()
one.bind(("127.0.0.1", int(sys.argv[1])))
one.listen()
print(f"http://127.0.0.1:{sys.argv[1]}", flush=True)
kept = []

while True:
    kept.append(one.accept()[0])
    kept[-1].send(b"x")
"""

# Answers everything with the second argument, and keeps the connections open or closes them first.
ANSWERING = """
import socket, sys, threading
one = socket.create_server(("127.0.0.1", int(sys.argv[1])))
kept = []

while True:
    connection = one.accept()[0]
    connection.recv(65536)
    connection.send(sys.argv[2].encode())

    if sys.argv[3] == "keeps":
        kept.append(connection)
    else:
        connection.close()
"""
PAGE = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
STREAM = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n: hello\n\n"


def plain(world: Project, port: int, **keys: object) -> Path:
    command = [sys.executable, "-I", "-S", "-c", SERVER, "${server.port}"]
    return world.configure(web={"command": command, "port": port, "plugins": {"regex-port": {}}, **keys})


@contextmanager
def connected(port: int) -> Iterator[socket.socket]:
    """Somebody else's connection; closing it by a reset frees the port of a server that is dead, at once."""
    with closing(socket.create_connection(("127.0.0.1", port))) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        yield client


@contextmanager
def left_over() -> Iterator[tuple[int, socket.socket]]:
    """A port of a former server, which others may bind with SO_REUSEADDR only, and its last client."""
    with closing(socket.create_server(("127.0.0.1", 0))) as server:
        port = int(server.getsockname()[1])
        with connected(port) as client:
            accepted, _ = server.accept()
            server.close()
            accepted.close()
            yield port, client


async def kill(server: Server) -> None:
    assert server.pid is not None
    generation = server.generation
    os.kill(server.pid, 9)
    await server.until(lambda: server.generation > generation)


async def told_to_wait(events: list[Event]) -> None:
    with anyio.fail_after(10):
        while not notices(events, "port_not_free_yet"):  # noqa: ASYNC110 - it ends no state
            await anyio.sleep(0.01)


async def test_a_fixed_port_is_waited_for_while_connections_of_the_former_run_keep_it(world: Project) -> None:
    events: list[Event] = []
    port = free_port("127.0.0.1")

    with anyio.fail_after(20):
        async with world.supervisor(plain(world, port, restart={**QUICK, "max_restarts": 1}), events) as kept:
            server = kept["web"]
            await server.wait_ready()
            with connected(port) as client:
                assert client.recv(1)  # it is accepted
                await kill(server)
                await told_to_wait(events)
                assert server.state is State.STARTING
            await server.wait_ready()

    assert server.restarts == 1
    assert f"port {port}" in notices(events, "port_not_free_yet")[0]


async def test_a_server_that_cannot_bind_its_port_for_that_reason_spends_no_try(world: Project) -> None:
    events: list[Event] = []

    with anyio.fail_after(20), left_over() as (port, client):
        file = plain(world, port, restart={"start_retries": 0})
        async with world.supervisor(file, events) as supervisor:
            await told_to_wait(events)
            client.close()
            await supervisor["web"].wait_ready()

    (crash,) = supervisor["web"].crashes
    assert "in use" in crash.stderr
    assert (crash.restarts_used, crash.restarts_allowed) == (0, 0)


async def test_a_stop_ends_the_wait_for_a_port(world: Project) -> None:
    events: list[Event] = []
    with anyio.fail_after(20), left_over() as (port, _):
        async with world.supervisor(plain(world, port), events) as supervisor:
            await told_to_wait(events)
            await supervisor["web"].stop()
            assert supervisor["web"].state is State.STOPPED


async def test_a_chosen_port_that_is_kept_by_connections_is_replaced_by_another(world: Project) -> None:
    events: list[Event] = []

    with anyio.fail_after(20):
        async with world.supervisor(plain(world, 0, restart={**QUICK, "max_restarts": 1}), events) as kept:
            server = kept["web"]
            await server.wait_ready()
            assert server.endpoint is not None
            former = server.endpoint.port
            with connected(former) as client:
                assert client.recv(1)
                await kill(server)
                await server.wait_ready()
                assert server.endpoint.port != former

    assert server.restarts == 1


@pytest.mark.parametrize(
    ("plugin", "options", "page", "then"),
    [
        ("http-health", {}, PAGE, "keeps"),
        ("http-health", {}, PAGE, "closes"),
        ("sse-health", {}, STREAM, "keeps"),
        ("tcp-health", {"send": "?", "expect": "ok$"}, PAGE, "closes"),
    ],
)
async def test_no_connection_of_hostler_keeps_the_port_of_a_server_that_is_gone(
    plugin: str, options: dict[str, object], page: str, then: str, world: Project
) -> None:
    port = free_port("127.0.0.1")
    command = [sys.executable, "-I", "-S", "-c", ANSWERING, "${server.port}", page, then]
    web = {"command": command, "port": port, "restart": ONCE, "plugins": {plugin: options}}

    with anyio.fail_after(20):
        async with world.supervisor(world.configure(web=web)) as supervisor:
            server = supervisor["web"]
            await server.wait_ready()
            assert server.pid is not None
            os.kill(server.pid, 9)
            await server.until(lambda: server.state is State.FAILED)
            assert not has_closing_connections(port)
