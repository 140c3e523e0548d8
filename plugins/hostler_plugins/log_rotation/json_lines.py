"""A log file of JSON: one object for each line of output."""

from __future__ import annotations

import json
from datetime import UTC, datetime

from hostler import StreamName

from hostler_plugins.log_rotation.sink import LONGEST, LogFile


class JsonLines:
    """Writes lines as {"time", "server", "stream", "line"}; what is not UTF-8 is replaced.

    An unfinished line waits for its end. One that is longer than 64 KiB comes in pieces with "partial": true,
    all but the last. Where output was lost stands {"time", "server", "dropped", "reason"}.
    """

    def __init__(self, server: str, log: LogFile) -> None:
        self.name = log.name
        self._server = server
        self._log = log
        self._held: dict[StreamName, bytes] = {}

    def write(self, stream: StreamName, data: bytes) -> None:
        """Write the lines that are complete; OSError means that they are lost."""
        text = self._held.pop(stream, b"") + data
        lines = text.split(b"\n")
        self._held[stream] = lines.pop()
        records = [record for line in lines for record in self._records(stream, line)]

        while len(self._held[stream]) > LONGEST:
            piece, self._held[stream] = self._held[stream][:LONGEST], self._held[stream][LONGEST:]
            records.append(self._record(stream, piece, partial=True))

        if records:
            self._log.write("stdout", b"".join(records))

    def close(self) -> None:
        """Write what waits for its end, and close the file; OSError when that cannot be written."""
        try:
            for stream, rest in self._held.items():
                if rest:
                    self._log.write("stdout", self._record(stream, rest))
        finally:
            self._log.close()

    def _records(self, stream: StreamName, line: bytes) -> list[bytes]:
        line = line.removesuffix(b"\r")
        starts = range(0, max(len(line), 1), LONGEST)
        last = starts[-1]
        return [self._record(stream, line[at : at + LONGEST], partial=at != last) for at in starts]

    def _record(self, stream: StreamName, line: bytes, *, partial: bool = False) -> bytes:
        values: dict[str, object] = {"server": self._server, "stream": stream}
        values["line"] = line.decode(errors="replace")
        return record(values | ({"partial": True} if partial else {}))


def record(values: dict[str, object]) -> bytes:
    """One line of JSON, with the time."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"
    return json.dumps({"time": now, **values}, ensure_ascii=False).encode() + b"\n"


def gap_in_json(server: str, lost: int, reason: str) -> bytes:
    """The line that stands where output was lost."""
    return record({"server": server, "dropped": lost, "reason": reason})
