"""http-health at servers that refuse what it asks, and the options that cure that."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import pytest
from health_servers import answering, request
from hostler import (
    Directories,
    Duration,
    Endpoint,
    Event,
    Notice,
    PortInUse,
    ServerCrashed,
    Supervisor,
    from_dict,
)
from hostler.process.net.ports import free_port
from hostler_plugins.http_health import HttpHealth
from http_pages import HealthContext, answer, certificate, healthy, pages, unhealthy, watching

__all__ = ["certificate"]
SECRET = "sesame-0f1e2d3c"
CREDENTIALS = {"user": "admin", "password": {"secret": "env:WEB_PASSWORD"}}


def quick(**options: Any) -> HttpHealth:
    return HttpHealth(**{"interval": Duration(0.05), "timeout": Duration(2)} | options)


@pytest.mark.parametrize(
    ("page", "option"),
    [
        (answer("401 Unauthorized"), "user and password"),
        (answer("403 Forbidden"), "user and password"),
        (answer("403 Forbidden", 'Blocked request. This host ("x") is not allowed.'), "headers = { Host"),
        (answer("400 Bad Request", "Invalid host header"), "headers = { Host"),
        (answer("421 Misdirected Request"), "headers = { Host"),
        (answer("400 Bad Request", "<h1>Bad Request (400)</h1>"), "headers = { Host"),
        (answer("302 Found", "", "", "Location: /login"), "follow_redirects = true"),
        (answer("400 Bad Request", "The plain HTTP request was sent to HTTPS port"), 'scheme = "https"'),
        (answer("400 Bad Request", "No required SSL certificate was sent"), "certificate"),
        (answer("405 Method Not Allowed"), "method"),
        (b"\0\0\x12\4\0\0\0\0\0\0\3\0\0\0d\0\4\0\0\xff\xff", "HTTP/2"),
        (b"\x15\3\1\0\2\2\x50", 'scheme = "https"'),
        (b"", "if it speaks TLS"),
    ],
)
async def test_a_refusal_names_the_option_that_cures_it(page: bytes, option: str) -> None:
    async with answering_once(page) as endpoint, watching(quick(), HealthContext(), endpoint) as reports:
        assert option in (await unhealthy(reports)).hint


@pytest.mark.parametrize(
    ("location", "by_path"),
    [
        ("/login?next=/", True),
        ("login", True),
        ("http://{here}/login", True),
        ("https://{here}/", False),
        ("//other.example/", False),
        ("http://other.example/login", False),
        ("http://[/", False),
    ],
)
async def test_a_redirect_names_path_only_where_it_stays_at_this_server(location: str, by_path: bool) -> None:
    async with pages(b"") as server:
        here = f"{server.endpoint.host}:{server.endpoint.port}"
        page = answer("302 Found", "", "", f"Location: {location.format(here=here)}")
        server.page = lambda _: page
        async with watching(quick(), HealthContext(), server.endpoint) as reports:
            hint = (await unhealthy(reports)).hint
    assert "follow_redirects = true" in hint
    assert ("or path to where it leads" in hint) is by_path


async def test_a_host_header_of_ones_own_is_sent_instead() -> None:
    def page(head: str) -> bytes:
        return answer() if "Host: app.example\r\n" in head else answer("400 Bad Request")

    plugin = quick()
    plugin.sent_headers["Host"] = "app.example"  # as its pre_spawn reads the option headers
    async with pages(page) as server:
        async with watching(plugin, HealthContext(), server.endpoint) as reports:
            await healthy(reports)
        assert [head.lower().count("host:") for head in server.requests] == [1]


def answering_once(page: bytes) -> Any:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await request(reader)
        writer.write(page)

    return answering(serve)


async def test_an_answer_that_time_does_not_change_ends_the_start_and_no_server_that_was_ready() -> None:
    host = HealthContext(startup_timeout=0.3)

    async with pages(answer("401 Unauthorized")) as server:
        async with watching(quick(), host, server.endpoint) as reports:
            assert not (await unhealthy(reports)).permanent
            while not (await unhealthy(reports)).permanent:
                pass
        good = iter([answer()])
        server.page = lambda _: next(good, answer("401 Unauthorized"))
        async with watching(quick(), host, server.endpoint) as reports:
            await healthy(reports)
            assert not any([(await unhealthy(reports)).permanent for _ in range(5)])


@dataclass(eq=False)
class Owner(HealthContext):
    """Notes what was asked about who listens, and says that somebody else does."""

    asked: list[tuple[bool, int | None]] = field(default_factory=list)
    taken: bool = False

    def verify_listener(self, *, secret: bool = False, at: Endpoint | None = None) -> None:
        self.asked.append((secret, None if at is None else at.port))
        if self.taken:
            raise PortInUse("somebody else is there")


async def test_a_server_that_wants_a_certificate_gets_it_where_the_server_itself_listens(
    certificate: tuple[Path, ssl.SSLContext],
) -> None:
    file, context = certificate
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(file)
    ours = quick(ca=file, certificate=file, key=file.with_name("key.pem"))

    async with pages(answer(), context) as server:
        async with watching(quick(ca=file), HealthContext(), server.endpoint) as reports:
            assert "set certificate, and key, of http-health" in (await unhealthy(reports)).hint
        owner = Owner()
        async with watching(ours, owner, server.endpoint) as reports:
            await healthy(reports)
        assert set(owner.asked) == {(True, server.endpoint.port)}
        async with watching(ours, Owner(taken=True), server.endpoint) as reports:
            assert "somebody else" in (await unhealthy(reports)).reason


async def test_a_post_carries_its_body_and_reads_json_out_of_an_event_stream() -> None:
    heard: list[tuple[str, Any]] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await request(reader)
        size = int(head.lower().partition("content-length: ")[2].split()[0])
        heard.append((head, json.loads(await reader.readexactly(size))))
        body = 'event: message\ndata: {"result": {"ok": true}}\n\n'
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n{body}".encode())
        await reader.read()  # the stream stays open

    call = {"jsonrpc": "2.0", "id": 1, "method": "ping"}
    plugin = quick(method="POST", path="/mcp", send=call, json={"result.ok": True})
    async with answering(serve) as endpoint, watching(plugin, HealthContext(), endpoint) as reports:
        await healthy(reports)
        await healthy(reports)

    head, body = heard[0]
    assert head.startswith("POST /mcp ")
    assert "Content-Type: application/json" in head
    assert "text/event-stream" in head
    assert body == call


# -- a server with a port for management and a password --------------------------------------------

SERVER = """
import base64, http.server, sys, threading
class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        sent = self.headers.get("Authorization", "")
        good = sent == "Basic " + base64.b64encode(b"admin:" + b"c3d2e1f0-emases"[::-1]).decode()
        self.send_response(200 if good else 401)
        self.send_header("Content-Length", "0")
        self.end_headers()
    def log_message(self, *_): pass
def serve(port):
    http.server.ThreadingHTTPServer(("127.0.0.1", int(port)), Answers).serve_forever()
for port in sys.argv[2:]:
    threading.Thread(target=serve, args=(port,), daemon=True).start()
serve(sys.argv[1])
"""


def supervising(directories: Directories, events: list[Event], *ports: int, **options: Any) -> Supervisor:
    command = [sys.executable, "-I", "-c", SERVER, "${server.port}", *map(str, ports)]
    web = {"command": command, "plugins": {"http-health": options}, "restart": {"start_retries": 0}}
    configuration = from_dict({"servers": {"web": web}}, base=directories.data)
    environ = dict(os.environ) | {"WEB_PASSWORD": SECRET}
    supervisor = Supervisor(configuration, directories=directories, environ=environ)
    supervisor.listen(events.append)
    return supervisor


async def test_a_port_for_management_is_asked_with_a_password_that_is_never_told(
    directories: Directories,
) -> None:
    events: list[Event] = []
    port = free_port("127.0.0.1")
    async with supervising(directories, events, port, port=port, **CREDENTIALS) as supervisor:
        await supervisor["web"].wait_ready(20)
    assert SECRET not in repr(events)
    assert f"127.0.0.1:{port}" in repr(events)


async def test_a_stranger_at_the_port_for_management_is_told_no_password(directories: Directories) -> None:
    events: list[Event] = []

    async with pages(answer()) as stranger:
        port = stranger.endpoint.port
        async with supervising(directories, events, port=port, **CREDENTIALS) as supervisor:
            with anyio.fail_after(20):
                while f"another process listens there instead: pid {os.getpid()}" not in repr(events):  # noqa: ASYNC110
                    await anyio.sleep(0.01)
            assert supervisor["web"].url != stranger.endpoint.url

    assert stranger.requests == []


async def test_a_refusal_is_told_at_once_and_ends_the_start_with_its_cure(directories: Directories) -> None:
    events: list[Event] = []
    async with supervising(directories, events) as supervisor:
        with pytest.raises(ServerCrashed, match="401") as caught:
            await supervisor["web"].wait_ready(20)
    assert "user and password" in caught.value.context.hint
    (told,) = [event for event in events if isinstance(event, Notice) and event.topic == "not_ready_hint"]
    assert "what to do: set user and password" in told.text
