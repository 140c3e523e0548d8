"""Lines of logs as server-sent events: what was printed, then what comes, each line exactly once.

It reads the files at its own pace: nothing of it waits in memory, and no server is slower for a slow client.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from functools import partial
from typing import Any

import msgspec

from hostler.control.log_forwards import read_after
from hostler.control.log_history import LogPage, RunMark, ServerLog, join_cursors, read_last
from hostler.control.log_lines import LogLine, Selection
from hostler.control.log_parts import fingerprint
from hostler.control.log_tails import LiveTails

Write = Callable[[bytes], Awaitable[None]]
_LINES = 200  # at a time, as the loop has other things to do
_BYTES = 256 * 1024  # of text at a time
_CHUNK = 64 * 1024
_LOOK_SECONDS = 0.1
_FLOOD = 64 * 1024 * 1024  # bytes a second, of which a reader can follow a tenth
_FLOOD_PAUSE = 8  # times as long as a page takes
_PATIENCE = 0.5  # for the pid of a run that is just being spawned
_COMMENT_SECONDS = 15.0
_WRITE_SECONDS = 30.0
_COMMENT = b":\n\n"


class LogSource:
    """What is read, and what is known of it now. Its methods are called on the loop's thread."""

    def __init__(
        self,
        logs: Callable[[], Sequence[ServerLog]],
        in_thread: Callable[[Callable[[], Any]], Awaitable[Any]],
        pid_of: Callable[[str, int | None, int | None], int | None],
        is_closed: Callable[[], bool],
        tails: LiveTails | None = None,
    ) -> None:
        self.logs = logs
        self.in_thread = in_thread
        self.pid_of = pid_of
        self.is_closed = is_closed
        self.tails = tails


class _Growth:
    """How fast the logs grew between the last two looks at them."""

    def __init__(self) -> None:
        self._seen: Mapping[str, tuple[int, ...]] = {}
        self._at = time.monotonic()
        self.is_flood = False

    def add(self, fingerprints: Mapping[str, tuple[int, ...]]) -> None:
        """Take note of what the logs are like now."""
        at, grown = time.monotonic(), 0
        for server, (file, size, *_) in fingerprints.items():
            old_file, old_size = self._seen.get(server, (file, size))[:2]
            grown += size - old_size if file == old_file else size  # less than it was, where it was rotated
        self.is_flood = grown > _FLOOD * (at - self._at)
        self._seen, self._at = fingerprints, at


class LogStream:
    """The lines behind a cursor (None: the last `count`), and those to come, for one client."""

    def __init__(self, source: LogSource, selection: Selection, after: str | None, count: int) -> None:
        self._source = source
        self._selection = selection
        self._after = after
        self._count = count
        self._places: dict[str, str] = {}
        self._seen: dict[str, tuple[int, ...]] = {}
        self._began: dict[str, RunMark] = {}
        self._growth = _Growth()
        self._sent_at = time.monotonic()

    async def send_to(self, write: Write, takes_more: Callable[[], bool] = lambda: True) -> None:
        """Send frames until the source is closed and all is sent.

        A client that is gone ends it with ConnectionError, one that reads nothing with TimeoutError.
        """
        tails = self._source.tails
        # Those that are remembered have no place, so who comes back has had them.
        remembered = None if tails is None else tails.begin(self._count if self._after is None else 0)
        try:
            await self._send(write, _COMMENT)
            await self._send_page(write, await self._source.in_thread(self._first(self._source.logs())))
            if remembered is not None:
                await self._send_page(write, remembered)
            await self._go_on(write)
        finally:
            if tails is not None:
                await tails.close()

    async def _go_on(self, write: Write) -> None:
        while True:
            began_at, is_last = time.monotonic(), self._source.is_closed()
            page = await self._source.in_thread(partial(self._next, self._source.logs()))
            pages = [page, None if self._source.tails is None else self._source.tails.take()]
            for one in pages:
                if one is not None:
                    await self._send_page(write, one)
            if pages != [None, None]:
                # As much time is left to those who read and write the output as this takes; in a flood more.
                times = _FLOOD_PAUSE if self._growth.is_flood else 1
                await asyncio.sleep(times * (time.monotonic() - began_at))
                continue
            if is_last:
                return
            if time.monotonic() - self._sent_at >= _COMMENT_SECONDS:
                await self._send(write, _COMMENT)
            await asyncio.sleep(_LOOK_SECONDS)

    async def _send_page(self, write: Write, page: LogPage) -> None:
        for item in page.items:
            if isinstance(item, RunMark):
                await self._wait_for_pid(item)
        frames = b"".join(self._frames(page))
        self._places |= page.behind
        await self._send(write, frames)

    async def _send(self, write: Write, frames: bytes) -> None:
        for at in range(0, len(frames), _CHUNK):
            async with asyncio.timeout(_WRITE_SECONDS):
                await write(frames[at : at + _CHUNK])
            self._sent_at = time.monotonic()

    # -- reading, in a thread ------------------------------------------------------------------

    def _first(self, logs: Sequence[ServerLog]) -> Callable[[], LogPage]:
        if self._after is None:
            return partial(read_last, logs, self._selection, self._count, unfinished=False)
        return partial(self._read, logs, self._after)

    def _next(self, logs: Sequence[ServerLog]) -> LogPage | None:
        """What is new; None where nothing is."""
        now = {log.server: fingerprint(log.path) for log in logs}
        self._growth.add(now)
        changed = [log for log in logs if now[log.server] != self._seen.get(log.server)]
        if not changed:
            return None
        page = self._read(changed, join_cursors(self._places.get(log.server, "") for log in changed))
        if not page.more:
            self._seen |= now
        return page

    def _read(self, logs: Sequence[ServerLog], after: str) -> LogPage:
        return read_after(logs, self._selection, _LINES, after, most_bytes=_BYTES)

    # -- frames --------------------------------------------------------------------------------

    def _frames(self, page: LogPage) -> Iterator[bytes]:
        for server in page.missed:
            yield frame("gap", {"server": server, "missed": None})
        self._places |= page.before
        for item in page.items:
            known = item
            if item.pid is None:
                known = item._replace(pid=self._source.pid_of(item.server, item.run, item.time))
            if isinstance(known, LogLine):
                if known.cursor:
                    self._places[known.server] = known.cursor
                yield frame("line", known.as_dict(), join_cursors(self._places.values()))
            elif item[:3] != self._began.get(item.server, ())[:3]:
                self._began[known.server] = known
                yield frame("run", known.as_dict())

    async def _wait_for_pid(self, mark: RunMark) -> None:
        """Wait a moment for the pid of a run that begins just now: its log is opened before the spawn."""
        until = mark.time / 1_000_000 + _PATIENCE
        while mark.pid is None and time.time() < until:
            if self._source.pid_of(mark.server, mark.run, mark.time) is not None:
                return
            await asyncio.sleep(0.02)


def frame(kind: str, values: dict[str, Any], cursor: str = "") -> bytes:
    """One server-sent event; in ASCII, so that a terminal obeys none of it."""
    body = msgspec.json.encode(values)
    if not body.isascii():
        body = json.dumps(values, separators=(",", ":")).encode()
    head = f"id: {cursor}\nevent: {kind}\ndata: " if cursor else f"event: {kind}\ndata: "
    return head.encode() + body + b"\n\n"
