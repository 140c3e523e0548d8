"""Pages of the logs of several servers, merged by time: the last lines before a cursor.

Only the standard library is needed, so that the command line can read logs where no hostler runs.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from heapq import merge
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

from hostler.control.log_lines import LogLine, PartLines, Selection, format_micros
from hostler.control.log_parts import LogPart, open_parts

MOST_BYTES = 4 * 2**20
"""Text of one page (of one server, of the last lines), after which it ends, whatever its limit."""

_LONGEST, _LONGEST_NUMBER = 20, 18
_IN_NUMBER = frozenset("0123456789")
_IN_ID = _IN_NUMBER | frozenset("abcdefx")
_PLACE = f"[0-9a-fx]{{1,{_LONGEST}}}-[0-9]{{1,{_LONGEST_NUMBER}}}"
CURSOR = rf"^({_PLACE}(\.{_PLACE})*)?$"
"""What a cursor looks like, for the document of the API."""


class ServerLog(NamedTuple):
    """A server, and the log file that its newest output is in."""

    server: str
    path: Path


class RunMark(NamedTuple):
    """A run begins here. `time` is in microseconds; `pid` is None where it is not known."""

    time: int
    server: str
    run: int
    pid: int | None

    def as_dict(self) -> dict[str, Any]:
        """The beginning of the run as the control API has it."""
        return self._asdict() | {"time": format_micros(self.time)}


class LogPage(NamedTuple):
    """Lines and the beginnings of runs, oldest first.

    `before` and `behind` are the cursors around them, by server; `more` says whether more lines may be there,
    in the direction of reading. `missed` names the servers of which lines behind the cursor are gone.
    """

    items: list[LogLine | RunMark]
    before: dict[str, str]
    behind: dict[str, str]
    more: bool
    missed: tuple[str, ...] = ()

    @property
    def lines(self) -> list[LogLine]:
        """The lines alone."""
        return [item for item in self.items if isinstance(item, LogLine)]

    @property
    def next(self) -> str:
        """The cursor behind them."""
        return join_cursors(self.behind.values())

    @property
    def previous(self) -> str:
        """The cursor before the last lines; "" where nothing is before them."""
        return join_cursors(self.before.values()) if self.more else ""

    def as_dict(self, lines: Iterable[LogLine]) -> dict[str, Any]:
        """The page as the control API has it, with these lines instead of its own."""
        return {
            "lines": [line.as_dict() for line in lines],
            "next": self.next,
            "previous": self.previous or None,
            "missed": list(self.missed),
        }


class _Found(NamedTuple):
    """What was found of one server: each item with the cursor before it; the cursors around all of them.

    `more` says whether there may be more.
    """

    items: list[tuple[str, LogLine | RunMark]]
    first: str
    last: str
    more: bool


def parse_cursor(text: str) -> dict[str, int]:
    """The offsets in a cursor, by the id of their file. Raises ValueError."""
    places: dict[str, int] = {}
    for place in text.split(".") if text else ():
        file_id, dash, offset = place.partition("-")
        is_id = 0 < len(file_id) <= _LONGEST and set(file_id) <= _IN_ID
        is_offset = 0 < len(offset) <= _LONGEST_NUMBER and set(offset) <= _IN_NUMBER
        if not (dash and is_id and is_offset):
            raise ValueError(f"no cursor of a log: {text[:100]!r}")
        places[file_id] = max(int(offset), places.get(file_id, 0))
    return places


def cursor_of(file_id: str, offset: int) -> str:
    """The cursor of one server; "" in a file that is not known by anything yet."""
    return f"{file_id}-{offset}" if file_id else ""


def join_cursors(cursors: Iterable[str]) -> str:
    """The cursor that stands for those of several servers."""
    return ".".join(filter(None, cursors))


def read_last(
    logs: Sequence[ServerLog],
    selection: Selection,
    count: int,
    before: str = "",
    *,
    unfinished: bool = True,
) -> LogPage:
    """The last `count` lines in front of a cursor; without one also a line that has no end yet."""
    places = parse_cursor(before)
    kept: list[tuple[int, str, LogLine | RunMark]] = []
    first, last, more = dict[str, str](), dict[str, str](), False
    for log in logs:  # one by one: of hundreds, all their last lines are many
        one = _last_of(log, selection, count, places, unfinished)
        merged = [*merge(kept, _with_times(one.items), key=itemgetter(0))]
        start = _start_of_last(merged, count + 1)  # the one more tells which runs begin behind it
        kept, more = merged[start:], more or one.more or start > 0
        first[log.server], last[log.server] = one.last if one.items else one.first, one.last
    start = _start_of_last(kept, count)
    for _, place, item in reversed(kept[start:]):
        first[item.server] = place or last[item.server]
    return LogPage([item for _, _, item in kept[start:]], first, last, more=more or start > 0)


# -- several servers -------------------------------------------------------------------------------


def _with_times(
    items: Iterable[tuple[str, LogLine | RunMark]],
) -> Iterator[tuple[int, str, LogLine | RunMark]]:
    """With the time by which they are merged; those of one server stay in order, were the clock set back."""
    latest = 0
    for place, item in items:
        latest = max(latest, item.time or 0)
        yield latest, place, item


def _end_of_first(items: Sequence[tuple[int, str, LogLine | RunMark]], count: int) -> int:
    """Where the first so many lines end."""
    for index, (_, _, item) in enumerate(items):
        if isinstance(item, LogLine):
            if not count:
                return index
            count -= 1
    return len(items)


def _start_of_last(items: Sequence[tuple[int, str, LogLine | RunMark]], count: int) -> int:
    """Where the last so many lines begin, with the beginning of a run right before them."""
    return len(items) - _end_of_first(items[::-1], count)


# -- one server ------------------------------------------------------------------------------------


def _last_of(
    log: ServerLog, selection: Selection, count: int, places: Mapping[str, int], unfinished: bool
) -> _Found:
    selection = of_last_run(log, selection)
    items: list[tuple[str, LogLine | RunMark]] = []
    size, lines, first, last = 0, 0, "", ""
    with open_parts(log.path) as parts:
        for part, end in _parts_before(parts, places):
            whole = end if places else part.end()
            end = end if unfinished else whole  # noqa: PLW2901
            last = last or cursor_of(part.id, whole)
            found: list[tuple[int, LogLine]] = []
            for start, line in PartLines(log.server, part, selection).backwards(0, end):
                found.append((start, line))
                if lines == count or size > MOST_BYTES:
                    items[:0] = _with_runs(log, selection, part, found[::-1], start, end)
                    return _Found(items, last, last, more=True)
                lines, size = lines + 1, size + len(line.text)
            items[:0] = _with_runs(log, selection, part, found[::-1], 0, end)
            first = cursor_of(part.id, 0) or first
    return _Found(items, first, last, more=False)


def _parts_before(parts: Iterator[LogPart], places: Mapping[str, int]) -> Iterator[tuple[LogPart, int]]:
    """The files with lines in front of these places, newest first, each with the end of those lines."""
    is_behind = bool(places)
    for part in parts:
        place = part.place_of(places) if is_behind else part.size
        if place is not None:
            yield part, min(place, part.size)  # which unpacks it, as it is read backwards
            is_behind = False


def _with_runs(
    log: ServerLog,
    selection: Selection,
    part: LogPart,
    lines: Sequence[tuple[int, LogLine]],
    start: int,
    end: int,
) -> list[tuple[str, LogLine | RunMark]]:
    """The lines of a file, and where runs begin between two offsets, each with the cursor before it."""
    file_id = part.id
    return [
        (cursor_of(file_id, offset), item)
        for offset, item in join_runs(runs_between(log, selection, part, start, end), lines)
    ]


def of_last_run(log: ServerLog, selection: Selection) -> Selection:
    """The selection, where it is of a run from the last one of that number on: each hostler counts anew."""
    if selection.run is None:
        return selection
    earliest = sys.maxsize  # since it began: the clock may have been set back
    with open_parts(log.path) as parts:  # newest first
        for marks in (part.marks for part in parts if part.marks is not None):
            began = [mark.offset for mark in marks.runs(0, sys.maxsize) if mark.run == selection.run]
            earliest = min(earliest, marks.earliest(began[-1] if began else 0))
            if began:  # in milliseconds, as lines may have their own time
                return selection._replace(since=max(earliest // 1000 * 1000, selection.since or 0))
    return selection


def runs_between(
    log: ServerLog, selection: Selection, part: LogPart, start: int, end: int
) -> list[tuple[int, RunMark]]:
    """The beginnings of the selected runs between two offsets of a file, both included, each with its own."""
    began: list[tuple[int, RunMark]] = []
    for mark in () if part.marks is None else part.marks.runs(start, end):
        is_late = selection.since is not None and mark.time < selection.since
        if selection.run in {None, mark.run} and not is_late:
            began.append((mark.offset, RunMark(mark.time, log.server, mark.run, mark.pid)))
    return began


def join_runs(
    runs: Sequence[tuple[int, RunMark]], lines: Iterable[tuple[int, LogLine]]
) -> Iterable[tuple[int, LogLine | RunMark]]:
    """Both by their offsets; a run begins before the line at the same one."""
    return merge(runs, lines, key=itemgetter(0)) if runs else lines
