"""Servers for health checks: real ones, ones in this process, and reports with a deadline."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from ssl import SSLContext

import anyio
from hostler import Auth, Endpoint, HealthRule, Healthy, Report, ServerSpec, StreamEvent, StreamGap, Unhealthy
from hostler.testing import FakeServerContext
from hostler_plugins.sse_health import SseHealth
from servers import fake_server

Answer = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\n"
FIRST = b"data: first\n\n"


@dataclass(eq=False)
class HealthContext(FakeServerContext):
    """The fake context of a health check; a test can wait for what the check delivers."""

    name: str = "web"
    auth: Auth | None = None
    startup_timeout: float = 30.0
    rule: HealthRule = HealthRule.ALL
    enough: asyncio.Event = field(default_factory=asyncio.Event)
    awaited: int | None = None

    def __post_init__(self) -> None:
        self.spec = ServerSpec(name=self.name, startup_timeout=self.startup_timeout, health=self.rule)

    def deliver(self, item: StreamEvent | StreamGap) -> None:
        super().deliver(item)
        if len(self.delivered) == self.awaited:
            self.enough.set()

    async def until(self, number: int) -> None:
        """Wait until so many items have been delivered; called once."""
        self.awaited = number
        if len(self.delivered) < number:
            await self.enough.wait()

    @property
    def data(self) -> list[str]:
        return [item.data for item in self.delivered if isinstance(item, StreamEvent)]

    @property
    def gaps(self) -> list[str]:
        return [item.reason for item in self.delivered if isinstance(item, StreamGap)]


@dataclass(eq=False)
class Running:
    """A fake server that has announced itself."""

    process: asyncio.subprocess.Process
    endpoint: Endpoint

    async def line(self) -> str:
        assert self.process.stdout is not None
        with anyio.fail_after(5):
            return (await self.process.stdout.readline()).decode().rstrip("\n")


@asynccontextmanager
async def running(*switches: str) -> AsyncIterator[Running]:
    process = await asyncio.create_subprocess_exec(*fake_server(*switches), stdout=asyncio.subprocess.PIPE)
    try:
        server = Running(process, Endpoint("127.0.0.1", 0))
        host, _, port = (await server.line()).partition("://")[2].rpartition(":")
        server.endpoint = Endpoint(host.strip("[]"), int(port))
        yield server
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


@asynccontextmanager
async def answering(answer: Answer, ssl: SSLContext | None = None) -> AsyncIterator[Endpoint]:
    """A server in this process, for answers that no well-behaved HTTP server gives."""

    serving: dict[asyncio.StreamWriter, asyncio.Task[None] | None] = {}

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        serving[writer] = asyncio.current_task()
        try:
            await answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0, ssl=ssl)
    try:
        yield Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], "http" if ssl is None else "https")
    finally:
        server.close()
        await _let_go(serving)


async def _let_go(serving: dict[asyncio.StreamWriter, asyncio.Task[None] | None]) -> None:
    """A transport that is still closing when the loop ends would be told as a warning in any test."""
    for writer, task in serving.items():
        if task is not None and not task.done():
            task.cancel()
            await asyncio.wait({task}, timeout=5)
        with suppress(AttributeError):  # a TLS transport that is closed has nothing to abort: Python 3.11
            writer.transport.abort()
        with suppress(Exception):
            await asyncio.wait_for(writer.wait_closed(), 5)


async def request(reader: asyncio.StreamReader) -> str:
    return (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")


async def until_closed(reader: asyncio.StreamReader) -> None:
    while await reader.read(65536):
        pass


@asynccontextmanager
async def watching(
    health: SseHealth, host: HealthContext, endpoint: Endpoint | None
) -> AsyncIterator[AsyncGenerator[Report, None]]:
    async with aclosing(health.health_check(host, endpoint)) as reports:
        yield reports


def open_files() -> int:
    return len(list(Path("/dev/fd").iterdir()))


async def next_report(reports: AsyncGenerator[Report, None], seconds: float = 30) -> Report:
    with anyio.fail_after(seconds):
        return await anext(reports)


async def healthy(reports: AsyncGenerator[Report, None], seconds: float = 30) -> Healthy:
    report = await next_report(reports, seconds)
    assert isinstance(report, Healthy), report
    return report


async def unhealthy(reports: AsyncGenerator[Report, None], seconds: float = 30) -> Unhealthy:
    report = await next_report(reports, seconds)
    assert isinstance(report, Unhealthy), report
    return report


async def silent(reports: AsyncGenerator[Report, None], seconds: float) -> bool:
    """Whether nothing is reported for so long; the generator is finished then."""
    with anyio.move_on_after(seconds):
        await anext(reports)
        return False
    return True
