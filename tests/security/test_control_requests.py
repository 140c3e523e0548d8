"""The control API, and requests that are made to confuse it."""

from __future__ import annotations

import ast
import asyncio
from pathlib import Path
from typing import Any

import hostler.control
import pytest
from controlled import controlled
from hostler import ControlSpec, Directories
from tcp_client import TcpClient, over_tcp, parsed

ON_TCP = ControlSpec(tcp="127.0.0.1:0")


class Host:
    """Ends nothing, and counts how often it was told to."""

    def __init__(self) -> None:
        self.ended = 0

    def shutdown(self, *, force: bool) -> None:
        self.ended += 1


def hidden(tcp: TcpClient) -> str:
    """A whole request, to be hidden in what another one seems to be."""
    lines = [
        "POST /v1/shutdown HTTP/1.1",
        f"Host: {tcp.host}",
        f"Authorization: Bearer {tcp.tokens['operate']}",
    ]
    return "\r\n".join([*lines, "Content-Type: application/json", "Content-Length: 2", "", "{}"])


@pytest.mark.parametrize(
    "headers",
    [
        "Content-Length: 5\r\nTransfer-Encoding: chunked",
        "Transfer-Encoding: chunked\r\nContent-Length: 5",
        "Content-Length: 0\r\nContent-Length: 400",
        "Content-Length: +5",
        "Content-Length: 0x5",
        "Content-Length: 1_0",
        "Content-Length : 0",
        "Transfer-Encoding: xchunked",
        "Transfer-Encoding: chunked, identity",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity",
        "Transfer-Encoding\x0b: chunked",
        "X: y\r\n Transfer-Encoding: chunked",
        "X: y\rContent-Length: 400",
        "X: y\nContent-Length: 400\r",
        "X: \0",
        "Host: evil.example",
    ],
)
async def test_a_request_with_two_meanings_has_none(directories: Directories, headers: str) -> None:
    host: Any = Host()
    async with controlled(directories=directories, spec=ON_TCP, host=host) as client:
        tcp = over_tcp(client)
        token = f"Authorization: Bearer {tcp.tokens['read']}"
        first = (
            f"GET /livez HTTP/1.1\r\nHost: {tcp.host}\r\n{token}\r\n{headers}\r\n\r\n0\r\n\r\n{hidden(tcp)}"
        )
        answer = await asyncio.to_thread(tcp.send, first.encode("latin-1"))
        assert parsed(answer).kind == "malformed"
        assert answer.count(b"HTTP/1.") == 1
        assert host.ended == 0


@pytest.mark.parametrize(
    ("target", "kind"),
    [
        ("/v1/servers/%2F", "not_found"),
        ("/v1/servers/a%2Fconnection", "not_found"),
        ("/v1/servers%2Fnone", "unsupported"),
        ("/v1/servers/..%2F..%2Fetc%2Fpasswd", "not_found"),
        ("/v1/servers/../../etc/passwd", "unsupported"),
        ("/v1/./servers", "unsupported"),
        ("//v1/servers", "unsupported"),
        ("/v1/servers/", "not_found"),
        ("/v1/servers/%00", "not_found"),
        ("/v1/servers/\0", "malformed"),
        ("/v1/servers/%", "not_found"),
        ("/v1/servers/%ff%fe", "not_found"),
        ("/v1/servers/" + "x" * 5_000, "not_found"),
        ("/v1/servers/" + "x" * 10_000, "malformed"),
        ("/v1?" + "x=1&" * 2_500, "malformed"),
        ("http://evil.example/v1", "wrong_host"),
        ("*", "malformed"),
    ],
)
async def test_a_path_leads_nowhere_else(directories: Directories, target: str, kind: str) -> None:
    async with controlled(directories=directories, spec=ON_TCP) as client:
        tcp = over_tcp(client)
        answer = await tcp.ask(target, "connect")
        assert answer.kind == kind
        assert len(answer.body) < 10_000
        assert (await tcp.ask("/v1")).status == 200


def test_no_regular_expression_of_a_client_is_ever_run() -> None:
    """One can take hours, in which nothing is supervised: the API takes literal text."""
    folder = Path(hostler.control.__file__).parent
    imports = {
        path.name
        for path in folder.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.Import | ast.ImportFrom)
        and {"re", "regex", "fnmatch"} & {getattr(node, "module", None), *(one.name for one in node.names)}
    }
    assert imports <= {"openapi.py"}  # of its own table of routes


async def test_text_that_would_be_an_endless_pattern_is_searched_for(
    directories: Directories,
) -> None:
    async with controlled(directories=directories) as client:
        async with asyncio.timeout(5):
            found = await client.get("/v1/log?contains=" + "(a%2B)%2B%24" * 50)
        assert found["lines"] == []
