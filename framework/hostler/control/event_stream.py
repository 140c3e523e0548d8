"""Events as server-sent events: resumed exactly where a client left, or with a gap that is said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from hostler import Event
from hostler.control.event_ring import EventRing, Missed
from hostler.control.rows import event_row

_BATCH = 500
_LARGEST_TAKE = 65_536  # bytes, and one event more: what one client may have waiting
_GATHER_SECONDS = 0.005
_COMMENT_SECONDS = 15.0
_WRITE_SECONDS = 30.0
_LARGEST_PUSH = 32_768  # bytes; a transport takes twice as much before a write has to wait
_COMMENT = b":\n\n"


class EventStream:
    """The events behind a cursor and those to come, for one client. What it is too slow for becomes a gap."""

    def __init__(self, feed: EventFeed, cursor: str, accepts: Callable[[Event], bool]) -> None:
        self._feed = feed
        self._ring = feed.ring
        self._number, self._missed = self._ring.number_of(cursor)
        self._accepts = accepts
        self._pending = b""

    async def send_to(
        self, write: Callable[[bytes], Awaitable[None]], takes_more: Callable[[], bool] = lambda: True
    ) -> None:
        """Send frames until the ring is closed and all are sent; `takes_more`: whether no write has to wait.

        A client that is gone ends it with ConnectionError, one that reads nothing with TimeoutError.
        """
        while True:
            frames = self._take()
            async with asyncio.timeout(_WRITE_SECONDS):
                await write(frames or _COMMENT)
            if self._is_behind:
                continue
            if self._ring.is_closed:
                return
            await self._feed.follow(lambda comment: self._push(write, takes_more, comment))

    @property
    def _is_behind(self) -> bool:
        return bool(self._pending) or self._number != self._ring.count

    async def _push(
        self, write: Callable[[bytes], Awaitable[None]], takes_more: Callable[[], bool], comment: bytes
    ) -> bool:
        """Send what is new, where that needs no waiting; whether all is sent."""
        if takes_more():
            frames = self._take() or comment
            if len(frames) > _LARGEST_PUSH:
                self._pending = frames
            elif frames:
                await write(frames)
        return not self._is_behind

    def _take(self) -> bytes:
        """The next frames; they count as sent."""
        if self._pending:
            frames, self._pending = self._pending, b""
            return frames
        return b"".join(self._next_frames())

    def _next_frames(self) -> list[bytes]:
        frames, size = [], 0
        number, missed = self._ring.number_of(self._ring.cursor_of(self._number))
        if missed is not None:
            self._feed.note_missed(missed.count or 0)
        missed = self._missed or missed
        if missed is not None:
            self._number, self._missed = number, None
            frames.append(_gap(self._ring.cursor_of(number), missed))

        for own, event in self._ring.after(self._number, _BATCH):
            self._number = own
            if self._accepts(event):
                frames.append(self._feed.frame(own, event))
                size += len(frames[-1])
            if size > _LARGEST_TAKE:
                break
        return frames


class EventFeed:
    """Sends news to the streams that are up to date, from one place: a task for each takes long to wake.

    With several streams it waits 5 ms for what else happens. Each event is encoded once.
    """

    def __init__(self, ring: EventRing) -> None:
        self.ring = ring
        self.missed = 0  # by streams that were too slow
        self._frames: dict[int, bytes] = {}  # of the last events, by number
        self._followers: dict[asyncio.Future[None], Callable[[bytes], Awaitable[bool]]] = {}
        self._news = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    async def follow(self, push: Callable[[bytes], Awaitable[bool]]) -> None:
        """Have `push` called with each news, until it tells that not all is sent, or the ring is closed.

        Its argument is a comment when one is due. It must not wait. What it raises is raised here.
        """
        done = asyncio.get_running_loop().create_future()
        self._followers[done] = push
        if self._task is None:
            end = self.ring.follow(self._news.set)
            self._task = asyncio.create_task(self._run(end), name="hostler control: events")
        try:
            await done
        finally:
            del self._followers[done]

    def note_missed(self, count: int) -> None:
        """Count events that a stream is too slow for."""
        self.missed += count

    def frame(self, number: int, event: Event) -> bytes:
        """The event of this number as a frame."""
        found = self._frames.get(number)
        if found is None:
            cursor = self.ring.cursor_of(number)
            body = msgspec.json.encode(event_row(event, cursor))
            found = f"id: {cursor}\nevent: {event.kind}\ndata: ".encode() + body + b"\n\n"
            if len(self._frames) >= _BATCH:
                self._frames.clear()
            self._frames[number] = found
        return found

    async def _run(self, end: Callable[[], None]) -> None:
        try:
            while self._followers:
                comment = await self._wait()
                for done, push in list(self._followers.items()):
                    await _push(done, push, comment, is_last=self.ring.is_closed)
        finally:
            self._task = None
            end()

    async def _wait(self) -> bytes:
        """Wait for news, at most until a comment is due, which it returns then."""
        try:
            async with asyncio.timeout(_COMMENT_SECONDS):
                await self._news.wait()
        except TimeoutError:
            return _COMMENT
        if len(self._followers) > 1:
            await asyncio.sleep(_GATHER_SECONDS)
        self._news.clear()
        return b""


async def _push(
    done: asyncio.Future[None], push: Callable[[bytes], Awaitable[bool]], comment: bytes, *, is_last: bool
) -> None:
    try:
        all_sent = await push(comment)
    except Exception as error:  # noqa: BLE001 - it belongs to the one stream, which raises it
        if not done.done():
            done.set_exception(error)
    else:
        if (is_last or not all_sent) and not done.done():
            done.set_result(None)


def _gap(cursor: str, missed: Missed) -> bytes:
    body = msgspec.json.encode({"missed": missed.count})
    return f"id: {cursor}\nevent: gap\ndata: ".encode() + body + b"\n\n"
