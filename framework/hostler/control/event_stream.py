"""Events as server-sent events: resumed exactly where a client left, or with a gap that is said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import msgspec

from hostler import Event
from hostler.control.board import Board, Missed
from hostler.control.rows import event_row

_BATCH = 500
_GATHER_SECONDS = 0.005
_COMMENT_SECONDS = 15.0
_WRITE_SECONDS = 30.0


class EventStream:
    """The events behind a cursor and those to come, for one client. What it is too slow for becomes a gap."""

    def __init__(self, board: Board, cursor: str, accepts: Callable[[Event], bool]) -> None:
        self._board = board
        self._number, self._missed = board.number_of(cursor)
        self._accepts = accepts
        self._news = asyncio.Event()

    async def send_to(self, write: Callable[[bytes], Awaitable[None]]) -> None:
        """Send frames until the board is closed and all are sent.

        A client that is gone ends it with ConnectionError, one that reads nothing with TimeoutError.
        """
        end = self._board.follow(self._news.set)
        try:
            while True:
                frames = self._frames()
                async with asyncio.timeout(_WRITE_SECONDS):
                    await write(frames or b":\n\n")
                if self._board.is_closed and self._number == self._board.count:
                    return
                await self._wait()
        finally:
            end()

    async def _wait(self) -> None:
        """Wait for events, at most until a comment is due; what comes close together is sent at once."""
        if self._number == self._board.count:
            try:
                async with asyncio.timeout(_COMMENT_SECONDS):
                    await self._news.wait()
                await asyncio.sleep(_GATHER_SECONDS)
            except TimeoutError:
                return
        self._news.clear()

    def _frames(self) -> bytes:
        frames = []
        number, missed = self._board.number_of(self._board.cursor_of(self._number))
        missed = self._missed or missed
        if missed is not None:
            self._number, self._missed = number, None
            frames.append(_gap(self._board.cursor_of(number), missed))

        for own, event in self._board.after(self._number, _BATCH):
            self._number = own
            if self._accepts(event):
                cursor = self._board.cursor_of(own)
                body = msgspec.json.encode(event_row(event, cursor))
                frames.append(f"id: {cursor}\nevent: {event.kind}\ndata: ".encode() + body + b"\n\n")
        return b"".join(frames)


def _gap(cursor: str, missed: Missed) -> bytes:
    body = msgspec.json.encode({"missed": missed.count})
    return f"id: {cursor}\nevent: gap\ndata: ".encode() + body + b"\n\n"
