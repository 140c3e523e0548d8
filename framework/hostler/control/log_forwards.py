"""The logs of several servers forwards from a cursor, merged by time and read as they are asked for.

Only the standard library is needed, as for `log_history`.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import suppress
from heapq import merge
from operator import itemgetter
from typing import NamedTuple

from hostler.control.log_history import (
    MOST_BYTES,
    LogPage,
    RunMark,
    ServerLog,
    cursor_of,
    join_runs,
    of_last_run,
    parse_cursor,
    runs_between,
)
from hostler.control.log_lines import BLOCK, LogLine, PartLines, Selection
from hostler.control.log_parts import LogPart, PartGone, open_parts

_READ_AHEAD = 16 * BLOCK  # of all logs; more logs than that have smaller blocks, and their files rest
_SMALLEST = 8 * 1024
_PAUSES = (0.1, 0.02, 0.005)  # seconds; the last one first


def read_after(
    logs: Sequence[ServerLog],
    selection: Selection,
    count: int,
    after: str,
    *,
    most_bytes: int = MOST_BYTES,
) -> LogPage:
    """The first `count` whole lines behind a cursor; "" is before the oldest that is kept."""
    return LogReader(logs, selection, after).page(count, most_bytes)


class LogReader:
    """The whole lines behind a cursor, page by page, to the end that the files have by then.

    Those of one server stay in their own order, were the clock set back. After an error it is of no use.
    """

    def __init__(self, logs: Sequence[ServerLog], selection: Selection, after: str) -> None:
        places = parse_cursor(after)
        self._count = len(places)
        block = max(_SMALLEST, min(BLOCK, _READ_AHEAD // max(len(logs), 1)))
        self._servers = [_ServerReader(log, selection, places, block) for log in logs]
        self._items = merge(*(server.items() for server in self._servers), key=itemgetter(0))
        self._head: LogLine | RunMark | None = None
        self._has_begun = False

    def page(self, count: int, most_bytes: int = MOST_BYTES) -> LogPage:
        """The next `count` lines; fewer where they have more text, or there are no more."""
        if not self._has_begun:
            self._has_begun, self._head = True, self._next()
        before = {server.name: server.place for server in self._servers}
        items: list[LogLine | RunMark] = []
        head, size = self._head, 0
        while head is not None:
            if isinstance(head, LogLine):
                if not count or size > most_bytes:
                    break
                count, size = count - 1, size + len(head.text)
            items.append(head)
            head = self._next()
        self._head = head
        behind = {server.name: server.place for server in self._servers}
        return LogPage(items, before, behind, more=head is not None, missed=self._missed())

    def _next(self) -> LogLine | RunMark | None:
        _, item = next(self._items, (0, None))
        return item

    def _missed(self) -> tuple[str, ...]:
        # A server whose log began after the cursor was given has no place in it.
        is_lost = self._count > sum(server.has_place for server in self._servers)
        return tuple(
            server.name
            for server in self._servers
            if server.has_lost or (is_lost and not server.has_place and server.has_log)
        )


class _ServerReader:
    """What one server has printed behind its place. Of its files, one is open at a time, or rests."""

    def __init__(self, log: ServerLog, selection: Selection, places: Mapping[str, int], block: int) -> None:
        self.name = log.server
        self.has_log = False
        self.has_place = False
        self.has_lost = False
        self._log = log
        self._selection = selection
        self._places = places
        self._block = block
        self._id, self._offset = "", 0

    @property
    def place(self) -> str:
        """The cursor before the item that was given last, or behind all; "" where there is no log."""
        return cursor_of(self._id, self._offset)

    def items(self) -> Iterator[tuple[int, LogLine | RunMark]]:
        """Each item with its time, or that of one before it, whichever is later."""
        latest, selection = 0, of_last_run(self._log, self._selection)
        for part, start, end in self._parts():
            began = runs_between(self._log, selection, part, start, end)
            lines = PartLines(self.name, part, selection).forwards(start, end, self._block)
            with suppress(PartGone):
                for offset, item in join_runs(began, lines):
                    self._offset = offset
                    latest = max(latest, item.time or 0)
                    if self._block < BLOCK:
                        part.rest()
                    yield latest, item
                if end < sys.maxsize:
                    self._offset = max(start, end)

    def _parts(self) -> Iterator[tuple[LogPart, int, int]]:
        """Its files, the oldest first, each between which places it is read.

        One that was gone when it was to be read on is looked for by its place: it may be compressed by now.
        """
        places, pauses = self._places, [*_PAUSES]
        while True:
            with open_parts(self._log.path, places) as parts:
                part, place, following, is_sure = _find(parts, places)
                if part is None:
                    self.has_lost = places is not self._places
                    return
                if not is_sure and pauses:
                    time.sleep(pauses.pop())
                    continue
                self.has_log = True
                if places is self._places:
                    self.has_place = place is not None
                elif place is None:
                    self.has_lost = True  # it was removed meanwhile
                self._id, self._offset = part.id, place or 0
                yield part, place or 0, part.limit() if following else part.end()
            if part.gone_at is not None:
                places, pauses = {part.id: part.gone_at}, [*_PAUSES]
            elif following:
                places = {following: 0}
            else:
                return


class _NextFile(NamedTuple):
    """The file that is to be read next, and where: at that place, or the oldest from its beginning.

    `following` is the id of the file behind it. It is not sure while files are renamed: some are there
    without their indexes then.
    """

    part: LogPart | None
    place: int | None
    following: str
    is_sure: bool


def _find(parts: Generator[LogPart, None, None], places: Mapping[str, int]) -> _NextFile:
    """The file that one of these places is in, else the oldest."""
    found: LogPart | None = None
    place, newer, following = None, "", ""
    indexed = set[bool]()
    for part in parts:
        found, following = part, newer
        newer = part.id or newer
        indexed.add(part.marks is not None)
        place = part.place_of(places)
        if place is not None:
            break
    parts.close()  # and the folder with it: of hundreds of servers one is open each
    is_lost = bool(places) and place is None
    is_sure = len(indexed) < 2 or not (is_lost or following.startswith("x"))
    return _NextFile(found, place, following, is_sure)
