"""Connections to a hostler on asyncio, and one exchange over them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from email.message import Message
from typing import Any

from hostler.client.errors import Unreachable
from hostler.client.log_reader import WholeLogReader
from hostler.client.messages import LONGEST_HEAD, headers_of, render, status_of
from hostler.client.place import PATIENCE, PAUSE, Attempts, Place
from hostler.client.requests import Call, WholeLog
from hostler.control.log_shapes import LogEnd, LogLine

_CHUNK = 262_144


@dataclass(frozen=True, slots=True)
class Streams:
    """An open connection."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    def is_usable(self) -> bool:
        """Whether it has not been closed, as far as is known."""
        return not self.reader.at_eof() and not self.writer.is_closing()

    def close(self) -> None:
        """Close it at once."""
        self.writer.transport.abort()


@dataclass(frozen=True, slots=True)
class Answer:
    """The head and the body of a response; `is_last` on its connection."""

    status: int
    headers: Message
    body: bytes
    is_last: bool


async def open_streams(place: Place) -> Streams:
    """Connect. Raises NotRunning and Unreachable."""
    attempts = Attempts(place)
    while True:
        try:
            async with asyncio.timeout(PATIENCE):
                return await _connected(place)
        except OSError as error:
            attempts.refuse(error)
        await asyncio.sleep(PAUSE)


async def exchange(place: Place, streams: Streams, call: Call[Any], seconds: float) -> Answer:
    """Send a request and read its answer.

    Raises TimeoutError, and Unreachable when hostler hangs or goes away.
    """
    headers = call.headers | place.headers
    try:
        async with _limit(seconds):
            streams.writer.write(render(call.method, call.target, headers, call.body))
            await streams.writer.drain()
            head = await _received(place, streams.reader.readuntil(b"\r\n\r\n"))
            return await _answer(streams.reader, head)
    except asyncio.LimitOverrunError as error:
        raise Unreachable("what listens there speaks no HTTP") from error
    except (ConnectionError, EOFError) as error:
        raise Unreachable(f"hostler went away before it had answered: {error}") from error


async def read_lines(place: Place, log: WholeLog) -> AsyncIterator[LogLine | LogEnd]:
    """All lines that are there, as they come. Raises Unreachable, and what is told instead."""
    reader = WholeLogReader(place, log)
    streams = await open_streams(place)
    try:
        streams.writer.write(reader.request)
        while not reader.has_ended:
            for item in reader.feed(await _received(place, streams.reader.read(_CHUNK))):
                yield item
    except ConnectionError as error:
        raise Unreachable(f"hostler went away before it had answered: {error}") from error
    finally:
        streams.close()


@asynccontextmanager
async def _limit(seconds: float) -> AsyncIterator[None]:
    limit = asyncio.timeout(None if seconds == float("inf") else seconds)
    try:
        async with limit:
            yield
    except TimeoutError:
        if limit.expired():
            raise TimeoutError("it is not done in time, and goes on") from None
        raise


async def _received(place: Place, data: Coroutine[Any, Any, bytes]) -> bytes:
    """A part of the answer. hostler may be busy for long with this, but not silent elsewhere."""
    coming = asyncio.ensure_future(data)
    try:
        while not (await asyncio.wait({coming}, timeout=PATIENCE))[0]:
            await _look_for_life(place)
        return coming.result()
    finally:
        coming.cancel()


async def _look_for_life(place: Place) -> None:
    streams = await open_streams(place)
    try:
        streams.writer.write(render("GET", "/livez", place.headers, version="1.0"))
        async with asyncio.timeout(PATIENCE):
            await streams.reader.read(1)
    except TimeoutError:
        text = f"hostler has not answered for {2 * PATIENCE:g} s"
        raise Unreachable(text, hint=place.hint()) from None
    finally:
        streams.close()


async def _answer(reader: asyncio.StreamReader, head: bytes) -> Answer:
    status, headers = status_of(head), headers_of(head)
    length = headers.get("Content-Length", "")
    if status == 204:
        length = "0"
    body = await (reader.readexactly(int(length)) if length.isdecimal() else reader.read())
    is_last = not length or headers.get("Connection", "").lower() == "close"
    return Answer(status, headers, body, is_last)


async def _connected(place: Place) -> Streams:
    path = place.socket()
    if path:
        return Streams(*await asyncio.open_unix_connection(path, limit=LONGEST_HEAD))
    return Streams(*await asyncio.open_connection(place.host, place.port, ssl=place.tls, limit=LONGEST_HEAD))
