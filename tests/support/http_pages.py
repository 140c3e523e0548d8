"""What the tests of health plugins share: HTTP answers of any kind, and reports with a deadline."""

from __future__ import annotations

import asyncio
import ssl as tls
import subprocess
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext
from typing import Protocol

import pytest
from health_servers import HealthContext, answering, healthy, next_report, request, silent, unhealthy
from hostler import Endpoint, Report, ServerView

__all__ = [
    "HealthContext",
    "Pages",
    "answer",
    "certificate",
    "healthy",
    "next_report",
    "pages",
    "silent",
    "unhealthy",
    "watching",
]


class Watcher(Protocol):
    def health_check(self, server: ServerView, endpoint: Endpoint | None) -> AsyncGenerator[Report, None]: ...


@asynccontextmanager
async def watching(
    plugin: Watcher, server: ServerView, endpoint: Endpoint | None
) -> AsyncIterator[AsyncGenerator[Report, None]]:
    async with aclosing(plugin.health_check(server, endpoint)) as reports:
        yield reports


def answer(status: str = "200 OK", body: str | bytes = "fine", kind: str = "text/plain", *more: str) -> bytes:
    data = body.encode() if isinstance(body, str) else body
    head = [f"HTTP/1.1 {status}", f"Content-Type: {kind}" if kind else "X-No: type", *more]
    return "\r\n".join([*head, f"Content-Length: {len(data)}", "", ""]).encode() + data


@dataclass(eq=False)
class Pages:
    """A server in this process; `requests` are the heads of all that came, `connections` their number."""

    page: Callable[[str], bytes]
    endpoint: Endpoint = field(init=False)
    requests: list[str] = field(default_factory=list)
    connections: int = 0
    open: int = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open += 1

        try:
            while True:
                self.requests.append(await request(reader))
                data = self.page(self.requests[-1])
                writer.write(data)
                await writer.drain()
                if not data:
                    return  # closed without an answer
        finally:
            self.open -= 1


@asynccontextmanager
async def pages(page: bytes | Callable[[str], bytes], ssl: SSLContext | None = None) -> AsyncIterator[Pages]:
    """Answer every request with this, or with what it gives for a request."""
    served = Pages(page if callable(page) else lambda _: page)
    async with answering(served.serve, ssl) as served.endpoint:
        yield served


def self_signed(cert: Path, key: Path) -> None:
    """Make a certificate for 127.0.0.1 that nobody has signed but itself, and its key."""
    make = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=test"]
    more = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*make, *more], check=True, capture_output=True)


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, SSLContext]:
    """A certificate that nobody has signed but itself, and a server's context with it."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    self_signed(cert, key)
    context = tls.create_default_context(tls.Purpose.CLIENT_AUTH)
    context.load_cert_chain(cert, key)
    return cert, context
