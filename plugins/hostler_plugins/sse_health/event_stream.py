"""A parser for event streams (text/event-stream), to the letter of the WHATWG HTML standard."""

from __future__ import annotations

from hostler import EventStreamConnectionFailed, StreamEvent

_BOM = b"\xef\xbb\xbf"
_PIECE = 65536
_LONGEST_RETRY = 15  # digits: 30,000 years; `int` takes time, and raises above 4,300


class EventTooLarge(EventStreamConnectionFailed):
    """Raised when one event, or one line, is larger than `max_event`; `events` came before it."""

    def __init__(self, limit: int) -> None:
        super().__init__(
            f"an event of more than {limit} bytes came",
            hint="raise max_event if this server really sends events of that size",
        )
        self.events: tuple[StreamEvent, ...] = ()


class EventStreamParser:
    """Turns the bytes of one stream, cut anywhere, into its events; a new stream needs a new parser.

    `last_event_id` is what the last blank line committed, `retry` the reconnection time in
    milliseconds that the server asked for (None: it did not), `comments` the number of comment lines.
    `max_event` bounds one line in bytes, and the data lines of one event together in characters.
    """

    def __init__(self, *, max_event: int = 4 * 1024 * 1024, last_event_id: str = "") -> None:
        self.last_event_id = last_event_id
        self.retry: int | None = None
        self.comments = 0
        self._max_event = max_event
        self._piece = max(1, min(_PIECE, max_event))  # no line that lies within a piece is too large
        self._start: bytes | None = b""  # the first bytes while they may still become a byte order mark
        self._after_cr = False
        self._line = bytearray()  # the unfinished line
        self._id = last_event_id
        self._type = ""
        self._data: list[str] = []
        self._size = 0

    def feed(self, data: bytes) -> list[StreamEvent]:
        """Take the next bytes and return the events that they complete.

        Time is linear and memory bounded whatever comes. Raises EventTooLarge; the parser is then
        of no further use.
        """
        events: list[StreamEvent] = []

        try:
            if len(data) <= self._piece:
                self._take(data, events)
            else:
                for start in range(0, len(data), self._piece):
                    self._take(data[start : start + self._piece], events)
        except EventTooLarge as error:
            error.events = tuple(events)
            raise

        return events

    def _take(self, piece: bytes, events: list[StreamEvent]) -> None:
        """Cut after the last line end: no character is split there, so all before it is decoded at once."""
        if self._start is not None or self._after_cr or b"\r" in piece:
            piece = self._normalize(piece)

        end = piece.rfind(b"\n") + 1

        if end == 0:
            self._hold(piece)
            return

        whole = piece[:end]

        if self._line:
            first = whole.index(b"\n")
            self._hold(whole[:first])
            whole = bytes(self._line) + whole[first:]
            self._line.clear()

        self._take_lines(whole.decode("utf-8", "replace").split("\n"), events)

        if end < len(piece):
            self._hold(piece[end:])

    def _hold(self, part: bytes) -> None:
        self._line += part

        if len(self._line) > self._max_event:
            raise EventTooLarge(self._max_event)

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

    def _take_lines(self, lines: list[str], events: list[StreamEvent]) -> None:
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

        if self._size > self._max_event:
            raise EventTooLarge(self._max_event)

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

    def _dispatch(self, events: list[StreamEvent]) -> None:
        """The blank line: the id holds from now on, the type only until here; no data means no event."""
        self.last_event_id = self._id
        data = self._data

        if data:
            if self._size > self._max_event:
                raise EventTooLarge(self._max_event)

            text = data[0] if len(data) == 1 else "\n".join(data)
            events.append(StreamEvent(self._type or "message", text, self._id))
            data.clear()
            self._size = 0

        self._type = ""
