"""A parser for event streams (text/event-stream), to the letter of the WHATWG HTML standard."""

from __future__ import annotations

import codecs

from hostler import StreamEvent, StreamGap

_BOM = b"\xef\xbb\xbf"
_PIECE = 65536
_SHORTEST_PIECE = 16  # any field's name has room in it
_LONGEST_RETRY = 15  # digits: 30,000 years; `int` takes time, and raises above 4,300
_LOOSE_LINES = 1024


class EventStreamParser:
    """Turns the bytes of one stream, cut anywhere, into its events; a new stream needs a new parser.

    `last_event_id` is what the last blank line committed, `retry` the reconnection time in
    milliseconds that the server asked for (None: it did not), `comments` the number of comment lines,
    `skipped` that of events that were too large and have come to their end.

    `max_event` bounds one event: its longest line in bytes, its data lines together in characters; an id
    or a type may have 64 KiB. A larger event is skipped up to its blank line: a StreamGap stands in its
    place, as soon as it is known, and its id counts. A longer comment is marked, and nothing is lost by it.
    Time is linear and memory bounded whatever comes: an event costs twice its size while it is made.
    """

    def __init__(self, *, max_event: int = 4 * 1024 * 1024, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self.comments = 0
        self.skipped = 0
        self._max_event = max_event
        self._piece = max(_SHORTEST_PIECE, min(_PIECE, max_event))
        self._start: bytes | None = b""  # the first bytes while they may still become a byte order mark
        self._after_cr = False
        self._line = bytearray()  # the unfinished line
        self._long: _LongLine | None = None  # the same, where it is longer than a piece
        self._id = last_event_id
        self._type = ""
        self._data: list[str] = []
        self._blocks = 0  # how many of the first in `_data` are many lines in one
        self._size = 0
        self._skipping = False

    def feed(self, data: bytes) -> list[StreamEvent | StreamGap]:
        """Take the next bytes and return the events that they complete, and marks of those too large."""
        events: list[StreamEvent | StreamGap] = []
        if len(data) <= self._piece:
            self._take(data, events)
        else:
            for start in range(0, len(data), self._piece):
                self._take(data[start : start + self._piece], events)
        return events

    def _take(self, piece: bytes, events: list[StreamEvent | StreamGap]) -> None:
        """Cut after the last line end: no character is split there, so all before it is decoded at once."""
        if self._start is not None or self._after_cr or b"\r" in piece:
            piece = self._normalize(piece)

        end = piece.rfind(b"\n") + 1
        if end == 0:
            self._hold(piece, events)
            return

        whole = piece[:end]

        if self._line or self._long is not None:
            first = whole.index(b"\n")
            self._hold(whole[:first], events)
            if self._long is None:
                whole = bytes(self._line) + whole[first:]
            else:
                self._end_long_line(self._long)
                whole = whole[first + 1 :]
            self._line.clear()

        self._take_lines(whole.decode("utf-8", "replace").split("\n"), events)

        if end < len(piece):
            self._hold(piece[end:], events)

    # -- a line that is not finished ----------------------------------------------------------

    def _hold(self, part: bytes, events: list[StreamEvent | StreamGap]) -> None:
        if self._long is None:
            self._line += part
            if len(self._line) <= self._piece:
                return
            self._long = _LongLine(bytes(self._line))
            self._line.clear()
        else:
            self._long.add(part)

        self._bound_long_line(self._long, events)

    def _bound_long_line(self, line: _LongLine, events: list[StreamEvent | StreamGap]) -> None:
        """What of it need not be kept is not; an id or a type of that length is too large."""
        if line.name in {b"id", b"event"}:
            self._skip(
                f"an event with an {line.name.decode()} field of more than {self._piece} bytes", events
            )
        elif line.name == b"data" and self._size + line.size > self._max_event:
            self._skip(f"an event of more than {self._max_event} bytes", events)
        elif line.name != b"data" and line.size > self._max_event and not line.marked:
            line.marked = True  # no event is lost by it, but as long as it goes on none can come
            events.append(StreamGap(f"a line of more than {self._max_event} bytes was skipped"))

        if self._skipping or line.name != b"data":
            line.forget()

    def _end_long_line(self, line: _LongLine) -> None:
        self._long = None
        if line.name == b"data" and not self._skipping:
            self._data.append(line.value())
            self._size += line.size
        elif not line.name:
            self.comments += 1

    # -- whole lines --------------------------------------------------------------------------

    def _normalize(self, piece: bytes) -> bytes:
        """Drop the byte order mark and make every line end one LF, a CR without waiting for what follows."""
        if self._start is not None:
            piece = self._start + piece
            if len(piece) < len(_BOM) and _BOM.startswith(piece):
                self._start = piece
                return b""
            self._start = None
            piece = piece.removeprefix(_BOM)

        if self._after_cr and piece:
            self._after_cr = False
            piece = piece.removeprefix(b"\n")

        if b"\r" in piece:
            self._after_cr = piece.endswith(b"\r")
            piece = piece.replace(b"\r\n", b"\n").replace(b"\r", b"\n")

        return piece

    def _take_lines(self, lines: list[str], events: list[StreamEvent | StreamGap]) -> None:
        """Take whole lines; behind the last line end stands nothing."""
        lines.pop()
        add = self._data.append

        for line in lines:
            if not line:
                self._dispatch(events)
                continue
            name, _, value = line.partition(": ")  # how nearly everybody writes; the rest is _take_field's
            if name == "data":
                add(value)
                self._size += len(line)
            elif name == "event":
                self._type = value
            elif name == "id":
                self._take_id(value)
            else:
                self._take_field(line)

        if self._data:
            self._bound(events)

    def _bound(self, events: list[StreamEvent | StreamGap]) -> None:
        """Keep of the unfinished event what its size allows; many short lines in one, which takes less."""
        if self._size > self._max_event:
            self._skip(f"an event of more than {self._max_event} bytes", events)
        if self._skipping:
            self._forget()
        elif len(self._data) - self._blocks > _LOOSE_LINES:
            self._data[self._blocks :] = ["\n".join(self._data[self._blocks :])]
            self._blocks += 1

    def _take_field(self, line: str) -> None:
        name, _, value = line.partition(":")
        if name == "data":
            self._data.append(value)
            self._size += len(line)
        elif name == "event":
            self._type = value
        elif name == "id":
            self._take_id(value)
        elif name == "retry":
            self._take_retry(value.removeprefix(" "))
        elif not name:
            self.comments += 1

    def _take_id(self, value: str) -> None:
        if "\0" not in value:
            self._id = value

    def _take_retry(self, value: str) -> None:
        if value.isascii() and value.isdigit():
            self.retry = int(value) if len(value) <= _LONGEST_RETRY else 10**_LONGEST_RETRY

    # -- the end of an event ------------------------------------------------------------------

    def _dispatch(self, events: list[StreamEvent | StreamGap]) -> None:
        """The blank line: the id holds from now on, the type only until here; no data means no event."""
        self.last_event_id = self._id
        data = self._data

        if self._skipping or self._size > self._max_event:
            self._bound(events)
            self._skipping = False
            self.skipped += 1
        elif data:
            text = data[0] if len(data) == 1 else "\n".join(data)
            events.append(StreamEvent(self._type or "message", text, self._id))
            data.clear()
            self._size = self._blocks = 0

        self._type = ""

    def _skip(self, what: str, events: list[StreamEvent | StreamGap]) -> None:
        """Let the rest of this event go by."""
        if not self._skipping:
            events.append(StreamGap(f"{what} was skipped", 1))
        self._skipping = True
        self._forget()

    def _forget(self) -> None:
        self._data.clear()
        self._size = self._blocks = 0


class _LongLine:
    """An unfinished line that is longer than a piece: decoded as it comes, so that it is kept once."""

    def __init__(self, start: bytes) -> None:
        self.name, _, value = start.partition(b":")
        self.size = len(start)
        self.marked = False
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._parts: list[str] = []
        self._rest = bytearray(value.removeprefix(b" "))

    def add(self, part: bytes) -> None:
        """Take more of it."""
        self.size += len(part)
        self._rest += part
        if len(self._rest) >= _PIECE:
            self._parts.append(self._decoder.decode(self._rest))
            self._rest.clear()

    def forget(self) -> None:
        """Drop what came so far: nobody will ask for it."""
        self._parts.clear()
        self._rest.clear()

    def value(self) -> str:
        """What stands behind the colon."""
        self._parts.append(self._decoder.decode(self._rest, final=True))
        return "".join(self._parts)
