"""A stream of the control API for programs on asyncio."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from types import TracebackType
from typing import Generic, Self, TypeVar

from hostler.client.errors import NotRunning
from hostler.client.frames import LONGEST_SILENCE, FrameReader, Gap
from hostler.client.place import PAUSE
from hostler.client.stream_state import StreamState
from hostler.client.streams import Streams, open_streams

T = TypeVar("T")

_CHUNK = 65_536


class AsyncFeed(Generic[T]):
    """The twin of Feed for asyncio: iterate over it inside `async with`. Cancelling a wait loses nothing."""

    def __init__(self, state: StreamState[T], begin: Callable[[], Awaitable[str]] | None = None) -> None:
        self._state = state
        self._begin = begin
        self._reader = FrameReader()
        self._streams: Streams | None = None
        self._began = False
        self._end = asyncio.Event()

    @property
    def cursor(self) -> str | None:
        """The place behind the value that was taken last; None where there was none yet."""
        return self._state.cursor

    async def __aenter__(self) -> Self:
        if self._begin is not None:
            self._state.begin(await self._begin())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """End it: whoever waits for the next value gets none."""
        self._end.set()
        self._disconnect()

    def __aiter__(self) -> AsyncIterator[T | Gap]:
        return self

    async def __anext__(self) -> T | Gap:
        while (value := self._state.take()) is None:
            if not await self.poll():
                raise StopAsyncIteration
        return value

    async def poll(self) -> bool:
        """Wait for news. False when nothing comes any more."""
        if self._end.is_set():
            return False
        try:
            async with asyncio.timeout(LONGEST_SILENCE):
                await self._receive(self._streams or await self._connect())
        except NotRunning:
            if not self._began:
                raise
            self.close()
        except OSError:
            self._disconnect()
            await asyncio.sleep(PAUSE)
        except Exception:
            self._disconnect()
            raise
        return not self._end.is_set()

    async def _connect(self) -> Streams:
        streams = self._streams = await open_streams(self._state.place)
        self._began = True
        self._reader = FrameReader()
        streams.writer.write(self._state.request())
        return streams

    async def _receive(self, streams: Streams) -> None:
        data = await streams.reader.read(_CHUNK)
        if not data:
            raise self._reader.end()
        self._state.put(self._reader.feed(data))

    def _disconnect(self) -> None:
        streams, self._streams = self._streams, None
        if streams is not None:
            streams.close()
