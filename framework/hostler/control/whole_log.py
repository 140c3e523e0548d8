"""All lines of logs that are there, as one answer that is sent while it is read: one JSON object a line."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from typing import Any

import msgspec

from hostler.control.log_forwards import LogReader
from hostler.control.log_lines import LogLine, Selection
from hostler.control.log_stream import LogSource, Write

JSON_LINES = "application/jsonl"
"""The type of such an answer."""

_LINES = 5000  # at a time
_BYTES = 256 * 1024  # of text at a time
_CHUNK = 64 * 1024
_WRITE_SECONDS = 30.0


class WholeLog:
    """The lines behind a cursor, then those of servers without a log, for one client.

    The last object is no line: it tells the cursor behind them, and of which servers some are missing.
    """

    def __init__(
        self, source: LogSource, selection: Selection, after: str, remembered: Sequence[LogLine]
    ) -> None:
        self._source = source
        self._selection = selection
        self._after = after
        self._remembered = remembered

    async def send_to(self, write: Write, takes_more: Callable[[], bool] = lambda: True) -> None:
        """Send it.

        A client that is gone ends it with ConnectionError, one that reads nothing with TimeoutError.
        """
        reader, missed = LogReader(self._source.logs(), self._selection, self._after), dict[str, None]()
        more = True
        while more:
            page = await self._source.in_thread(partial(reader.page, _LINES, _BYTES))
            more = page.more
            missed |= dict.fromkeys(page.missed)
            lines = map(self._with_pid, page.lines)
            await _send(write, await self._source.in_thread(partial(_encoded, [*lines])))
        end = {"next": page.next, "missed": [*missed]}
        await _send(write, _encoded(self._remembered) + msgspec.json.encode(end) + b"\n")

    def _with_pid(self, line: LogLine) -> LogLine:
        if line.pid is not None:
            return line
        return line._replace(pid=self._source.pid_of(line.server, line.run, line.time))


async def _send(write: Write, data: bytes) -> None:
    for at in range(0, len(data), _CHUNK):
        async with asyncio.timeout(_WRITE_SECONDS):
            await write(data[at : at + _CHUNK])


def _encoded(lines: Iterable[LogLine]) -> bytes:
    """In ASCII, so that a terminal obeys none of it."""
    values: list[dict[str, Any]] = [line.as_dict() for line in lines]
    data = msgspec.json.Encoder().encode_lines(values)
    if data.isascii():
        return data
    return b"".join(json.dumps(value, separators=(",", ":")).encode() + b"\n" for value in values)
