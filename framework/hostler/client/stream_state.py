"""What one stream has given so far, and how it goes on after a break."""

from __future__ import annotations

from collections import deque
from typing import Any, Generic, TypeVar

import msgspec

from hostler.client.frames import Frame, Gap
from hostler.client.messages import render
from hostler.client.place import Place
from hostler.client.requests import Stream

T = TypeVar("T")


class StreamState(Generic[T]):
    """The values of a stream that nobody has taken yet, and the cursor behind the last one that was."""

    def __init__(self, place: Place, stream: Stream[T]) -> None:
        self.place = place
        self.cursor = self._last = stream.after
        self._stream = stream
        self._ready: deque[tuple[str | None, T | Gap]] = deque()

    def begin(self, after: str) -> None:
        """Begin behind this cursor."""
        self.cursor = self._last = after

    def request(self) -> bytes:
        """The request to begin, or to go on."""
        headers = {"Accept": "text/event-stream", **self.place.headers}
        return render("GET", self._stream.target(self._last), headers, version="1.0")

    def put(self, frames: list[Frame]) -> None:
        """Keep what has come; what is new to this version is left out."""
        for frame in frames:
            self._last = frame.id or self._last
            value = self._value(frame)
            if value is not None:
                self._ready.append((self._last, value))

    def take(self) -> T | Gap | None:
        """The oldest value; None where there is none."""
        if not self._ready:
            return None
        self.cursor, value = self._ready.popleft()
        return value

    def _value(self, frame: Frame) -> T | Gap | None:
        if frame.event == "gap":
            known: dict[str, Any] = msgspec.json.decode(frame.data)
            return Gap(known.get("missed"), known.get("server"))
        kinds = self._stream.kinds
        kind = kinds.get(frame.event, kinds.get(""))
        return None if kind is None else msgspec.json.decode(frame.data, type=kind)
