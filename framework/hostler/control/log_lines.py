"""The lines of one file of a log: found forwards or backwards, and what is known of each."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from io import BytesIO
from typing import Any, NamedTuple

from hostler import LogMark
from hostler.control.log_parts import LogPart

LONGEST = 64 * 1024
"""Bytes of a line that are shown."""

BLOCK = 256 * 1024
"""Bytes that are read at a time; of a line that is longer, each is a piece."""

_STREAM, _JSON = 0x0F, 0x10  # of the kind of a mark
_STREAMS = {"stdout": 1, "stderr": 2}
_OWN_JSON = b'{"time": "'
_WRITTEN_OTHERWISE = '"\\\ufffd'  # in JSON; and what stands for bytes that are no text
_COARSE = 1.0  # seconds that the time of a file may be behind
_STAMP = 25  # "2026-01-02T08:02:59.120Z "


class LogLine(NamedTuple):
    """One line of output. `time` is in microseconds; what is not known is None.

    `cursor` is the place behind it. `partial` says that it has no end yet, or is only a piece.
    """

    time: int | None
    server: str
    stream: str | None
    run: int | None
    pid: int | None
    text: str
    cursor: str
    partial: bool

    def as_dict(self) -> dict[str, Any]:
        """The line as the control API has it."""
        return {
            "time": None if self.time is None else format_micros(self.time),
            "server": self.server,
            "stream": self.stream,
            "run": self.run,
            "pid": self.pid,
            "text": self.text,
            "cursor": self.cursor,
            "partial": self.partial,
        }


class Selection(NamedTuple):
    """Which lines: times in microseconds (from, and before), literal text, a stream, a run."""

    since: int | None = None
    until: int | None = None
    contains: str = ""
    stream: str | None = None
    run: int | None = None

    def accepts(self, line: LogLine) -> bool:
        """Whether this line is selected; one whose time is not known is, whatever the times."""
        time, since, until = line.time, self.since, self.until
        return (
            (time is None or ((since is None or since <= time) and (until is None or time < until)))
            and (self.stream is None or self.stream == line.stream)
            and (self.run is None or self.run == line.run)
            and self.contains in line.text
        )

    def ranges(self, part: LogPart, start: int, end: int) -> list[tuple[int, int]]:
        """The parts of a file between two offsets in which such lines may be."""
        if self.since is not None and (part.changed_at + _COARSE) * 1_000_000 < self.since:
            return []
        if part.marks is None or self[:2] + self[3:] == (None, None, None, None):
            return [(start, end)] if start < end else []
        first = part.marks[0].offset if len(part.marks) else end
        head = [(start, min(first, end))] if start < first and (self.stream, self.run) == (None, None) else []
        return head + part.marks.ranges(start, end, self._wants)

    def _wants(self, moment: int, run: int, kind: int) -> bool:
        if kind & _JSON:
            return self.run in {None, run}  # time and stream stand in the line
        return (
            (self.since is None or self.since <= moment)
            and (self.until is None or moment < self.until)
            and self.run in {None, run}
            and (self.stream is None or _STREAMS[self.stream] == kind & _STREAM)
        )

    def needle(self) -> bytes:
        """What stands in the file where the text is contained, in whatever way it is written there."""
        plain = "".join(
            one if one.isprintable() and one not in '"\\\ufffd' else "\n" for one in self.contains
        )
        return max(plain.split("\n"), key=len).encode(errors="surrogatepass")


class PartLines:
    """Finds the selected lines of one file of a server's log."""

    def __init__(self, server: str, part: LogPart, selection: Selection) -> None:
        self._server = server
        self._part = part
        self._id = part.id
        self._selection = selection
        self._needle = selection.needle()
        self._is_own = part.marks is None and _is_own(part)
        self._mark: LogMark | None = None
        self._mark_start = self._mark_end = 0

    def forwards(self, start: int, end: int, block: int = BLOCK) -> Iterator[tuple[int, LogLine]]:
        """The lines between two offsets, oldest first, each with the offset at which it begins.

        With smaller blocks less is held until they are asked for.
        """
        for first, last in self._selection.ranges(self._part, start, end):
            while first < last:
                data = self._whole_lines(first, last, block)
                yield from self._lines(first, _found(data, self._needle))
                first += len(data) or last  # noqa: PLW2901 - the next block

    def backwards(self, start: int, end: int) -> Iterator[tuple[int, LogLine]]:
        """The same, newest first."""
        for first, last in reversed(self._selection.ranges(self._part, start, end)):
            while first < last:
                block = max(first, last - BLOCK)
                data = self._part.read(block, last - block)
                cut = data.find(b"\n", 0, -1) + 1 if block > first else 0
                block, data = block + cut, data[cut:]
                yield from self._lines(block, _found_backwards(data, self._needle))
                last = block  # noqa: PLW2901

    def _whole_lines(self, first: int, last: int, block: int) -> bytes:
        """Lines from an offset on, or a piece of one that is longer than the longest block."""
        data = self._part.read(first, min(block, last - first))
        cut = data.rfind(b"\n") + 1
        if not cut and block < BLOCK and len(data) == block:
            return self._whole_lines(first, last, BLOCK)
        return data[:cut] if cut and first + len(data) < last else data

    def _lines(self, block: int, found: Iterator[tuple[int, bytes]]) -> Iterator[tuple[int, LogLine]]:
        for start, raw in found:
            line = self._line(block + start, raw)
            if self._selection.accepts(line):
                yield block + start, line

    def _line(self, start: int, raw: bytes) -> LogLine:
        has_end = raw.endswith(b"\n")
        behind = start + len(raw) if has_end or len(raw) >= BLOCK else start
        mark = self._mark_at(start)
        text = raw.removesuffix(b"\n").removesuffix(b"\r")[:LONGEST].decode("utf-8", "replace")
        partial, cursor = not has_end or len(raw) > LONGEST + 2, f"{self._id}-{behind}" if self._id else ""
        if mark is None:
            line = LogLine(None, self._server, None, None, None, text, cursor, partial)
        else:
            known = (mark.stream or None, mark.run, mark.pid)
            line = LogLine(mark.time, self._server, *known, text, cursor, partial)
        if self._is_own if mark is None else mark.is_json:
            return _of_json(line, raw)
        return _without_stamp(line) if mark is None or mark.is_stamped else line

    def _mark_at(self, offset: int) -> LogMark | None:
        marks = self._part.marks
        if marks is not None and not self._mark_start <= offset < self._mark_end:
            index = marks.at(offset)
            self._mark = None if index < 0 else marks[index]._replace(pid=marks.pid_of(index))
            self._mark_start, self._mark_end = marks.extent(index)
        return self._mark


def _found(data: bytes, needle: bytes) -> Iterator[tuple[int, bytes]]:
    """The lines with this text in it, each with its offset in the data and with its end."""
    start = 0
    if not needle:
        for line in BytesIO(data):
            yield start, line
            start += len(line)
    while start < len(data):
        hit = data.find(needle, start)
        if hit < 0:
            return
        start = data.rfind(b"\n", start, hit) + 1 or start
        end = data.find(b"\n", hit) + 1 or len(data)
        yield start, data[start:end]
        start = end


def _found_backwards(data: bytes, needle: bytes) -> Iterator[tuple[int, bytes]]:
    end = len(data)
    while end > 0:
        last = end - 1  # its line end is not that of the line before
        hit = data.rfind(needle, 0, end) if needle else last
        if hit < 0:
            return
        start = data.rfind(b"\n", 0, min(hit, last)) + 1
        stop = data.find(b"\n", hit, end) + 1 or end
        yield start, data[start:stop]
        end = start


def _is_own(part: LogPart) -> bool:
    """Whether a file of which nothing is known looks like log-rotation's JSON."""
    return part.read(0, len(_OWN_JSON)) == _OWN_JSON


def _of_json(line: LogLine, raw: bytes) -> LogLine:
    """What the object of this line says; the line itself where it is none."""
    try:
        values = json.loads(raw)
        moment = micros_of(datetime.fromisoformat(values["time"]))
        if "dropped" in values:
            text = f"[hostler: {values['dropped']} bytes dropped: {values.get('reason')}]"
            return line._replace(time=moment, stream=None, text=text)
        text, stream = str(values["line"]), str(values["stream"])
    except (ValueError, TypeError, KeyError, RecursionError):
        return line
    return line._replace(
        time=moment, stream=stream, text=text, partial=line.partial or bool(values.get("partial"))
    )


def _without_stamp(line: LogLine) -> LogLine:
    """The line without the time that log-rotation has put before it, where it has."""
    if line.text[23:_STAMP] != "Z " or line.text[4:5] != "-":
        return line
    try:
        moment = micros_of(datetime.fromisoformat(line.text[: _STAMP - 1]))
    except ValueError:
        return line
    return line._replace(time=moment, text=line.text[_STAMP:])


def micros_of(moment: datetime) -> int:
    """A time in microseconds since 1970; one without a zone is UTC."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)


@lru_cache(maxsize=64)  # lines of one mark have one time
def format_micros(moment: int) -> str:
    """A time as RFC 3339 has it: UTC with milliseconds."""
    time = datetime.fromtimestamp(moment // 1000 / 1000, UTC)
    return time.isoformat(timespec="milliseconds").replace("+00:00", "Z")
