"""Requests over TCP, as bytes: no library that would correct them, in another thread."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

from controlled import Client


class Response(NamedTuple):
    """An answer; the names of its headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def kind(self) -> str:
        """The kind of the problem that it tells of."""
        return str(json.loads(self.body)["type"]).removeprefix("/problems/")


class TcpClient:
    """Asks the TCP listener that a description names. `host` is what stands in Host unless it is said."""

    def __init__(self, description: Path, tls: ssl.SSLContext | None = None) -> None:
        known: dict[str, Any] = json.loads(description.read_text())["tcp"]
        self.url = str(known["url"])
        self.files = {name: Path(path) for name, path in known["tokens"].items()}
        self.tokens = {name: path.read_text() for name, path in self.files.items()}
        self.port = int(urlsplit(self.url).port or 0)
        self.host = f"127.0.0.1:{self.port}"
        self._tls = tls

    def send(self, data: bytes) -> bytes:
        """All that comes back for these bytes, until the other side closes the connection."""
        with self.connected() as connection:
            connection.sendall(data)
            return b"".join(iter(lambda: connection.recv(65_536), b""))

    @contextmanager
    def connected(self) -> Iterator[socket.socket]:
        """A connection without a request."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as plain:
            if self._tls is None:
                yield plain
            else:
                with self._tls.wrap_socket(plain, server_hostname="127.0.0.1") as connection:
                    yield connection

    async def ask(
        self, target: str, scope: str | None = "read", method: str = "GET", body: bytes = b"", **headers: str
    ) -> Response:
        """One request with the token of a scope; `Host=""` for none, and `_` stands for - in a name."""
        given = {"Host": self.host, "Connection": "close"}
        if scope is not None:
            given["Authorization"] = f"Bearer {self.tokens[scope]}"
        if body:
            given |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
        given |= {name.replace("_", "-"): value for name, value in headers.items()}
        lines = [f"{method} {target} HTTP/1.1", *(f"{n}: {value}" for n, value in given.items() if value)]
        data = "\r\n".join([*lines, "", ""]).encode("latin-1") + body
        return parsed(await asyncio.to_thread(self.send, data))


def parsed(data: bytes) -> Response:
    head, _, body = data.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    pairs = (line.partition(": ") for line in lines)
    return Response(int(first.split()[1]), {name.lower(): value for name, _, value in pairs}, body)


def over_tcp(client: Client, tls: ssl.SSLContext | None = None) -> TcpClient:
    """A client of the TCP listener of a control."""
    return TcpClient(Path(client.control.socket).with_suffix(".json"), tls)
