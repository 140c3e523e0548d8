import asyncio
import base64
import os
import signal
import socket
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import anyio
import pytest
from health_servers import HealthContext, healthy, silent, unhealthy, watching
from hostler import Endpoint
from hostler.testing.demo_server import DemoServer
from hostler_plugins.sse_health import SseHealth

MODULE = "hostler.testing.demo_server"


@asynccontextmanager
async def started(
    *arguments: str, password: str = "", module: str = MODULE
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Endpoint]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        module,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=os.environ | ({"DEMO_SERVER_PASSWORD": password} if password else {}),
    )
    assert process.stdout is not None

    try:
        with anyio.fail_after(10):
            line = (await process.stdout.readline()).decode()
        before, _, port = line.rpartition(":")
        assert before.startswith("demo server listening on http://")
        yield process, Endpoint(before.rpartition("//")[2].strip("[]"), int(port))
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def inside(demo: DemoServer) -> AsyncIterator[Endpoint]:
    server = await asyncio.start_server(demo.serve, "127.0.0.1", 0)
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1])
    finally:
        server.close()


async def ask(endpoint: Endpoint, text: str) -> str:
    reader, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
    writer.write(text.encode())
    with anyio.fail_after(5):
        answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    return answer


async def get(endpoint: Endpoint, path: str, host: str = "localhost", extra: str = "") -> str:
    return await ask(endpoint, f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{extra}\r\n")


async def test_it_announces_itself_serves_a_stream_and_ends_at_once_on_sigterm() -> None:
    host = HealthContext()
    async with started() as (process, endpoint), watching(SseHealth(), host, endpoint) as reports:
        await healthy(reports)
        start = time.monotonic()
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(5):
            assert await process.wait() == 0
        assert time.monotonic() - start < 1
        assert process.stderr is not None
        assert await process.stderr.read() == b""

    assert host.data == ['{"type": "server.connected", "properties": {}}']


async def test_it_listens_on_ipv6_too() -> None:
    async with started("--host", "::1") as (_, endpoint):
        assert endpoint.host == "::1"
        assert (await get(endpoint, "/global/health", "[::1]:80")).endswith('{"healthy": true}')


async def test_its_deprecated_name_still_starts_it() -> None:
    async with started("--host", "127.0.0.1", module="hostler_plugins.demo_server") as (process, endpoint):
        assert (await get(endpoint, "/global/health")).endswith('{"healthy": true}')
        process.send_signal(signal.SIGTERM)
        with anyio.fail_after(5):
            assert await process.wait() == 0


async def test_a_port_in_use_is_told_as_such() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", MODULE, "--port", port, stderr=asyncio.subprocess.PIPE
        )
        _, stderr = await process.communicate()
    assert process.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}".encode() in stderr


async def test_its_password_comes_from_the_environment() -> None:
    token = base64.b64encode(b"demo:open sesame").decode()

    async with started(password="open sesame") as (_, endpoint):
        assert (await get(endpoint, "/")).startswith("HTTP/1.1 401 ")
        assert (await get(endpoint, "/", extra="Authorization: Basic eDp5\r\n")).startswith("HTTP/1.1 401 ")
        assert (await get(endpoint, "/", extra=f"Authorization: Basic {token}\r\n")).startswith(
            "HTTP/1.1 200 "
        )
        async with watching(SseHealth(), HealthContext(), endpoint) as reports:
            assert (await unhealthy(reports)).details["kind"] == "unauthorized"


async def test_a_password_is_asked_for_where_there_is_one() -> None:
    token = base64.b64encode(b"demo:open sesame").decode()
    async with inside(DemoServer(password="open sesame")) as endpoint:
        assert 'WWW-Authenticate: Basic realm="' in await get(endpoint, "/")
        assert "200 OK" in await get(endpoint, "/", extra=f"authorization: Basic {token}\r\n")


async def test_ticks_and_heartbeats_follow_the_first_event() -> None:
    host = HealthContext()

    demo = DemoServer(tick=0.05, heartbeat=0.12)
    async with inside(demo) as endpoint, watching(SseHealth(), host, endpoint) as reports:
        await healthy(reports)
        assert await silent(reports, 0.5)

    ticks = [data for data in host.data if '"tick"' in data]
    assert ticks[:2] == [f'{{"type": "tick", "properties": {{"number": {n}}}}}' for n in (1, 2)]
    assert 5 <= len(ticks) <= 10
    assert '{"type": "server.heartbeat", "properties": {}}' in host.data


async def test_its_page_shows_the_events() -> None:
    async with inside(DemoServer()) as endpoint:
        answer = await get(endpoint, "/?from=browser")
    assert answer.startswith("HTTP/1.1 200 OK\r\nContent-Type: text/html")
    assert 'new EventSource("/event")' in answer


@pytest.mark.parametrize(
    ("request_text", "status"),
    [
        ("GET /nothing HTTP/1.1\r\nHost: localhost:80\r\n\r\n", 404),
        ("POST / HTTP/1.1\r\nHost: LOCALHOST\r\n\r\n", 405),
        ("GET /event HTTP/1.1\r\nHost: evil.example\r\n\r\n", 403),
        ("GET /event HTTP/1.1\r\nHost: 127.0.0.1.evil.example:80\r\n\r\n", 403),
        ("GET /event HTTP/1.1\r\nHost: [2001:db8::1]:80\r\n\r\n", 403),
        ("GET /event HTTP/1.1\r\n\r\n", 403),
        ("nonsense\r\n\r\n", 400),
        ("GET / HTTP/1.1\r\nX: " + "x" * 100_000, 400),
    ],
)
async def test_everything_else_is_refused(request_text: str, status: int) -> None:
    async with inside(DemoServer()) as endpoint:
        assert (await ask(endpoint, request_text)).startswith(f"HTTP/1.1 {status} ")


async def test_a_client_that_goes_before_it_asks_is_no_error() -> None:
    async with inside(DemoServer()) as endpoint:
        _, writer = await asyncio.open_connection(endpoint.host, endpoint.port)
        writer.write(b"GET / HT")
        writer.close()
        await writer.wait_closed()

        assert (await get(endpoint, "/")).startswith("HTTP/1.1 200 ")
