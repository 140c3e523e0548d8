"""The control API for programs on asyncio."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

from hostler.client import calls
from hostler.client.async_feed import AsyncFeed
from hostler.client.errors import Unreachable
from hostler.client.place import Place
from hostler.client.requests import Call, Stream, WholeLog
from hostler.client.stream_state import StreamState
from hostler.client.streams import Streams, exchange, open_streams, read_lines
from hostler.client.wait import Until, Wait
from hostler.control.log_shapes import LogEnd, LogLine
from hostler.control.server_shapes import ServerRow

if TYPE_CHECKING:
    import ssl


P = ParamSpec("P")
T = TypeVar("T")

_MOST_IDLE = 2  # hostler has 64 connections for all its clients


def asynchronous(build: Callable[P, Call[T]]) -> Callable[Concatenate[AsyncClient, P], Awaitable[T]]:
    """The coroutine function that makes a call and returns its answer."""

    @wraps(build)
    async def method(self: AsyncClient, /, *arguments: P.args, **named: P.kwargs) -> T:
        return await self._send(build(*arguments, **named))

    return method


def reading(
    build: Callable[P, WholeLog],
) -> Callable[Concatenate[AsyncClient, P], AsyncIterator[LogLine | LogEnd]]:
    """The method that gives all lines while they are read."""

    @wraps(build)
    def method(
        self: AsyncClient, /, *arguments: P.args, **named: P.kwargs
    ) -> AsyncIterator[LogLine | LogEnd]:
        return read_lines(self._place, build(*arguments, **named))

    return method


def following(build: Callable[P, Stream[T]]) -> Callable[Concatenate[AsyncClient, P], AsyncFeed[T]]:
    """The method that follows a stream."""

    @wraps(build)
    def method(self: AsyncClient, /, *arguments: P.args, **named: P.kwargs) -> AsyncFeed[T]:
        return self._feed(build(*arguments, **named))

    return method


class AsyncClient:
    """The twin of Client for asyncio, on one event loop. A command that is cancelled goes on in hostler."""

    def __init__(
        self,
        configuration: str | os.PathLike[str] = "hostler.toml",
        *,
        socket: str | os.PathLike[str] | None = None,
        address: str | None = None,
        token: str | None = None,
        timeout: float = 30.0,
        environ: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._place = Place.choose(configuration, socket, address, token, environ, tls)
        self._timeout = timeout
        self._idle: deque[Streams] = deque()
        self._version = ""

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close what connections are kept. The client can still be used."""
        while self._idle:
            self._idle.pop().close()

    @property
    def version(self) -> str:
        """The version of the hostler that answered last; "" before."""
        return self._version

    about = asynchronous(calls.about)
    servers = asynchronous(calls.servers)
    server = asynchronous(calls.server)
    crashes = asynchronous(calls.crashes)
    crash = asynchronous(calls.crash)
    memory = asynchronous(calls.memory)
    processes = asynchronous(calls.processes)
    work = asynchronous(calls.work)
    plugins = asynchronous(calls.plugins)
    connection = asynchronous(calls.connection)
    events = asynchronous(calls.events)
    log = asynchronous(calls.log)
    read_log = reading(calls.read_log)
    follow_events = following(calls.follow_events)
    follow_log = following(calls.follow_log)
    start = asynchronous(calls.start)
    stop = asynchronous(calls.stop)
    restart = asynchronous(calls.restart)
    add = asynchronous(calls.add)
    remove = asynchronous(calls.remove)
    configuration = asynchronous(calls.configuration)
    reload = asynchronous(calls.reload)
    environment = asynchronous(calls.environment)
    dashboard = asynchronous(calls.dashboard)
    shutdown = asynchronous(calls.shutdown)
    is_ready = asynchronous(calls.is_ready)
    document = asynchronous(calls.document)

    async def wait(
        self, *names: str, until: Until = "ready", stable: float = 0.0, timeout: float | None = None
    ) -> list[ServerRow]:
        """See Client.wait."""
        waiting = Wait(names, until, stable, timeout)
        snapshot = await self.servers()
        async with self.follow_events(after=snapshot.cursor) as feed:
            while (rows := waiting.check(snapshot, await self._quiet(waiting.asks(snapshot)))) is None:
                with suppress(TimeoutError):
                    async with asyncio.timeout(waiting.seconds_left()):
                        await feed.poll()
                snapshot = await self.servers()
        return rows

    async def _quiet(self, names: Sequence[str]) -> dict[str, bool | None]:
        return {name: (await self.work(name)).idle for name in names}

    def _feed(self, stream: Stream[T]) -> AsyncFeed[T]:
        begins_now = stream.begins_now and stream.after is None
        return AsyncFeed(StreamState(self._place, stream), self._now if begins_now else None)

    async def _now(self) -> str:
        return (await self.about()).cursor

    async def _send(self, call: Call[T]) -> T:
        while self._idle:
            kept = self._idle.pop()
            if kept.is_usable():
                try:
                    return await self._exchange(kept, call)
                except Unreachable as error:
                    # It was closed while nobody used it. What changes something is not sent twice.
                    if call.method != "GET" or not isinstance(error.__cause__, ConnectionError | EOFError):
                        raise
                break
            kept.close()
        return await self._exchange(await open_streams(self._place), call)

    async def _exchange(self, streams: Streams, call: Call[T]) -> T:
        limit = self._timeout if call.limit is None else call.limit
        try:
            answer = await exchange(self._place, streams, call, limit)
        except BaseException:
            streams.close()
            raise
        self._version = answer.headers.get("Hostler-Version", "")
        if answer.is_last or len(self._idle) >= _MOST_IDLE:
            streams.close()
        else:
            self._idle.append(streams)
        return call.read(answer.status, answer.body, self._version)
