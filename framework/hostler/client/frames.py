"""Server-sent events, cut from the pieces of an answer as they come."""

from __future__ import annotations

from dataclasses import dataclass

from hostler.client.errors import error_of
from hostler.client.messages import status_of

LONGEST_SILENCE = 45.0
"""Seconds without even a comment, of which one comes every 15 s, until a stream counts as dead."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Something is missing at this place of a stream (of a log that of `server`).

    `missed` counts it where that is known.
    """

    missed: int | None
    server: str | None = None


@dataclass(frozen=True, slots=True)
class Frame:
    """One server-sent event."""

    id: str
    event: str
    data: bytes


class BlockReader:
    """Reads an answer without a length: its head, then blocks that each end with this separator."""

    def __init__(self, separator: bytes) -> None:
        self._separator = separator
        self._rest = b""
        self._status = 0

    def blocks(self, data: bytes) -> list[bytes]:
        """The blocks that end in this piece."""
        self._rest += data
        if not self._status:
            head, found, rest = self._rest.partition(b"\r\n\r\n")
            if not found:
                return []
            self._status, self._rest = status_of(head), rest
        if self._status != 200:
            return []
        *blocks, self._rest = self._rest.split(self._separator)
        return blocks

    def end(self) -> Exception:
        """What it means that nothing more comes: a refusal, or that the stream was interrupted."""
        if self._status in {0, 200}:
            return ConnectionResetError("the stream was interrupted")
        return error_of(self._status, self._rest)


class FrameReader(BlockReader):
    """Reads frames; comments are left out."""

    def __init__(self) -> None:
        super().__init__(b"\n\n")

    def feed(self, data: bytes) -> list[Frame]:
        """The frames that end in this piece."""
        return [frame for block in self.blocks(data) if (frame := _frame(block)) is not None]


def _frame(block: bytes) -> Frame | None:
    fields = dict.fromkeys((b"id", b"event", b"data"), b"")
    for line in block.split(b"\n"):
        name, _, value = line.partition(b":")
        if name in fields:
            fields[name] = value.removeprefix(b" ")
    if not fields[b"data"]:
        return None
    return Frame(fields[b"id"].decode(), fields[b"event"].decode(), fields[b"data"])
