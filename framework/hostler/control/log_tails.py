"""Lines of servers whose output nobody writes to a file: the last 64 KiB that are remembered, and what comes.

They have no place to go on from, and those that are remembered have no time.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterable, Sequence

from hostler import Line, Server, StreamName
from hostler.control.log_history import LogPage, RunMark
from hostler.control.log_lines import LogLine, Selection

_REMEMBERED = 64 * 1024
_MOST_WAITING = 1024 * 1024  # bytes of text for one client that is slow
_STREAMS: tuple[StreamName, ...] = ("stdout", "stderr")


def tail_lines(servers: Iterable[Server], selection: Selection, count: int) -> list[LogLine]:
    """The last lines that are remembered of these servers, so many of each."""
    found: list[LogLine] = []
    for server in servers:
        lines = [line for stream in _STREAMS for line in _tail(server, stream) if selection.accepts(line)]
        found += lines[max(len(lines) - count, 0) :]
    return found


def _tail(server: Server, stream: StreamName) -> list[LogLine]:
    text = server.tail(stream)
    if len(text.encode(errors="replace")) >= _REMEMBERED:
        text = text.partition("\n")[2]  # the first line has lost its beginning
    *whole, rest = text.split("\n")
    ends = [(line, False) for line in whole] + ([(rest, True)] if rest else [])
    run, pid = server.generation, server.pid
    return [
        LogLine(None, server.name, stream, run, pid, line.removesuffix("\r"), "", partial)
        for line, partial in ends
    ]


class LiveTails:
    """What such servers print from `begin` to `close`, for one client. What is too much for it is a gap."""

    def __init__(self, servers: Callable[[], Sequence[Server]], selection: Selection) -> None:
        self._servers = servers
        self._selection = selection
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._waiting: deque[LogLine | RunMark] = deque()
        self._size = 0
        self._missed: set[str] = set()

    def begin(self, count: int) -> LogPage:
        """Follow them; what is remembered of them so far."""
        self._follow_new()
        return _page(tail_lines(self._servers(), self._selection, count))

    def take(self) -> LogPage | None:
        """What has come since; None for nothing."""
        self._follow_new()
        if not self._waiting:
            return None
        items, missed = [*self._waiting], tuple(self._missed)
        self._waiting.clear()
        self._missed.clear()
        self._size = 0
        return _page(items, missed)

    async def close(self) -> None:
        """Follow nobody any more."""
        for task in self._tasks.values():
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks.values())

    def _follow_new(self) -> None:
        for server in self._servers():
            if server.name not in self._tasks or self._tasks[server.name].done():
                self._tasks[server.name] = asyncio.create_task(
                    self._follow(server, server.lines()), name="hostler log"
                )

    async def _follow(self, server: Server, lines: AsyncIterator[Line]) -> None:
        run = server.generation
        async for line in lines:
            now = time.time_ns() // 1000
            if line.missed:
                self._missed.add(server.name)
            if line.generation != run:
                run = line.generation
                self._add(RunMark(now, server.name, run, server.pid), 0)
            told = LogLine(now, server.name, line.stream, run, server.pid, line.text, "", False)
            if self._selection.accepts(told):
                self._add(told, len(line.text))

    def _add(self, item: LogLine | RunMark, size: int) -> None:
        self._waiting.append(item)
        self._size += size
        while self._size > _MOST_WAITING:
            dropped = self._waiting.popleft()
            self._missed.add(dropped.server)
            self._size -= len(dropped.text) if isinstance(dropped, LogLine) else 0


def _page(items: Sequence[LogLine | RunMark], missed: tuple[str, ...] = ()) -> LogPage:
    return LogPage([*items], {}, {}, more=False, missed=missed)
