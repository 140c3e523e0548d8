"""All lines of logs that are there, cut from the pieces of an answer as they come."""

from __future__ import annotations

from typing import Any

import msgspec

from hostler.client.errors import Unreachable
from hostler.client.frames import BlockReader
from hostler.client.messages import render
from hostler.client.place import Place
from hostler.client.requests import WholeLog
from hostler.control.log_shapes import LogEnd, LogLine


class WholeLogReader(BlockReader):
    """Reads one such answer, which is there when `has_ended`."""

    def __init__(self, place: Place, log: WholeLog) -> None:
        super().__init__(b"\n")
        self.has_ended = False
        headers = {"Accept": "application/jsonl", **place.headers}
        self.request = render("GET", log.target, headers, version="1.0")

    def feed(self, data: bytes) -> list[LogLine | LogEnd]:
        """What ends in this piece. Raises what it tells, and Unreachable where it has no end."""
        if not data:
            error = self.end()
            if isinstance(error, ConnectionError):
                raise Unreachable(f"hostler went away before it had answered: {error}") from error
            raise error
        blocks = self.blocks(data)
        if not blocks:
            return []
        last: dict[str, Any] = msgspec.json.decode(blocks[-1])
        ends = list[LogEnd]()
        if "next" in last:
            self.has_ended = True
            blocks.pop()
            ends.append(msgspec.convert(last, LogEnd))
        return [*msgspec.json.decode(b"[%b]" % b",".join(blocks), type=list[LogLine]), *ends]
