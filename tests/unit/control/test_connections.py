"""How many connections there may be, and which of them make room."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

import pytest
from cli_project import eventually
from controlled import Client, controlled
from hostler import ControlSpec, Directories
from tcp_client import over_tcp

CONNECTIONS = "hostler.control.connections"
LIVE = b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n"
# Its body does not come, so that it is under way for as long as the test wants.
TYPE = b"Content-Type: application/json\r\nContent-Length: 9\r\n"
ASKING = b"POST /v1/servers/stop HTTP/1.1\r\nHost: x\r\n" + TYPE + b"\r\n"


class Host:
    """Ends nothing, and notes that it was told to."""

    def __init__(self) -> None:
        self.is_told = False

    def shutdown(self, *, force: bool) -> None:
        self.is_told = True


@contextmanager
def connected(client: Client, count: int = 64) -> Iterator[list[socket.socket]]:
    """Connections of which nothing comes."""
    with ExitStack() as opened:
        held = [opened.enter_context(socket.socket(socket.AF_UNIX)) for _ in range(count)]
        for one in held:
            one.settimeout(10)
            one.connect(client.control.socket)
        yield held


@contextmanager
def asking(client: Client) -> Iterator[None]:
    """Requests that are all under way."""
    with connected(client) as held:
        for one in held:
            one.sendall(ASKING)
        yield


async def test_where_all_places_are_taken_clients_come_again_later(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        await client.get("/v1")
        with asking(client):
            await client.get("/v1")  # all are read before this one
            answer = await client.ask("GET", "/v1/servers")
            assert (answer.status, answer.headers["retry-after"]) == (503, "1")


async def test_what_is_kept_open_and_asks_nothing_takes_no_place(directories: Directories) -> None:
    async with controlled(directories=directories) as client:
        await client.get("/v1")
        with connected(client, 90) as held:
            for one in held:
                one.sendall(b"GET /v1/servers HTTP/1.1\r\nHost: x\r\n\r\n")
                assert (await asyncio.to_thread(one.recv, 15)) == b"HTTP/1.1 200 OK"


async def test_nobody_is_locked_out_from_what_tells_of_hostler_or_ends_it(directories: Directories) -> None:
    host: Any = Host()
    async with controlled(directories=directories, host=host) as client:
        with asking(client):
            assert (await client.ask("GET", "/v1")).status == 200
            assert (await client.ask("GET", "/livez")).status == 200
            assert (await client.ask("POST", "/v1/shutdown", {})).status == 202
            assert host.is_told


async def test_who_has_waited_for_longest_makes_room(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with controlled(directories=directories) as client:
        await client.get("/v1")
        with connected(client) as held:
            await client.get("/v1")  # all are accepted before this one
            asked, silent = held[:2]
            asked.sendall(LIVE)
            assert (await asyncio.to_thread(asked.recv, 1000)).startswith(b"HTTP/1.1 200")
            monkeypatch.setattr(f"{CONNECTIONS}._GRACE_SECONDS", 0.0)
            for _ in range(5):
                assert (await client.ask("GET", "/v1/servers")).status == 200
            assert await asyncio.to_thread(silent.recv, 1) == b""
            # It has asked for something since, and others have not.
            asked.sendall(LIVE)
            assert (await asyncio.to_thread(asked.recv, 1000)).startswith(b"HTTP/1.1 200")


async def test_beyond_all_limits_nobody_is_read(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with controlled(directories=directories) as client:
        await client.get("/v1")
        monkeypatch.setattr(f"{CONNECTIONS}._MOST_OPEN", 2)
        with connected(client, 3) as held, suppress(ConnectionResetError):
            assert await asyncio.to_thread(held[2].recv, 1) == b""


async def test_strangers_at_the_port_take_no_place_at_the_socket(directories: Directories) -> None:
    async with controlled(directories=directories, spec=ControlSpec(tcp="127.0.0.1:0")) as client:
        tcp = over_tcp(client)
        with ExitStack() as opened:
            for _ in range(300):
                await asyncio.to_thread(opened.enter_context, tcp.connected())
            with pytest.raises((ConnectionError, IndexError)):  # nobody reads it
                await tcp.ask("/v1/servers")
            assert await client.get("/v1/servers")


@pytest.mark.parametrize("head", [b"", b"GET /v1 HTTP/1.1\r\nHo"])
async def test_a_request_that_does_not_come_is_not_waited_for(
    directories: Directories, monkeypatch: pytest.MonkeyPatch, head: bytes
) -> None:
    monkeypatch.setattr(f"{CONNECTIONS}._FIRST_SECONDS", 0.1)
    async with controlled(directories=directories) as client:
        reader, writer = await asyncio.open_unix_connection(client.control.socket)
        writer.write(head)
        assert await asyncio.wait_for(reader.read(), 10) == b""
        writer.close()


async def test_a_client_that_takes_no_answer_is_left(
    directories: Directories, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hostler.control.http_server._WRITE_SECONDS", 0.1)
    async with controlled(directories=directories) as client:
        with connected(client, 1) as (deaf,):
            deaf.sendall(b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
            await client.get("/v1")
            assert client.control.is_busy
            await asyncio.to_thread(eventually, lambda: not client.control.is_busy)
