"""The sink of log-rotation: two streams in one file, interleaved and rotated at line ends."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Unpack

from hostler import StreamName

from hostler_plugins.log_rotation.file import RotatedFile, Rotation

LONGEST = 64 * 1024
"""Bytes up to which a line is kept in one piece."""

_WAIT_FOR_LOCK = 0.5


def gap_in_words(lost: int, reason: str) -> bytes:
    """The line that stands where output was lost."""
    return b"[hostler: %d bytes dropped: %s]\n" % (lost, reason.encode())


class LogFile:
    """Writes two streams to one file, which it rotates where lines end.

    All output is written at once, an unfinished line too. When the other stream writes meanwhile, its
    lines go before that unfinished line, which is therefore remembered (`_loose`) and written again
    behind them; an unfinished line of the second stream waits in memory (`_held`).
    """

    def __init__(
        self,
        path: Path,
        *,
        max_size: int,
        timestamps: bool = False,
        gap: Callable[[int, str], bytes] = gap_in_words,
        **rotation: Unpack[Rotation],
    ) -> None:
        self.name = f"log file {path}"  # in notices
        self._file = RotatedFile(path, **rotation)
        self._gap = gap
        self._max_size = max_size
        self._timestamps = timestamps
        self._used = False
        self._owner: StreamName | None = None  # whose unfinished line is at the end of the file
        self._loose = b""
        self._long = False  # that line is longer than LONGEST: it is not remembered
        self._held: dict[StreamName, bytes] = {}
        self._in_line: set[StreamName] = set()  # whose last byte was no line end
        self._skipping: set[StreamName] = set()  # whose line is dropped to its end
        self._lost = 0
        self._reason = ""

    def open(self, patience: float = _WAIT_FOR_LOCK) -> None:
        """Open the file for writing, alone, and wait so many seconds for that; OSError says why not."""
        self._file.open(patience)

    def write(self, stream: StreamName, data: bytes) -> None:
        """Write one piece, rotating where lines end. OSError means that the piece is lost."""
        self._used = True
        data = self._prepared(stream, data)
        if not data:
            return

        due = self._unfinished(stream) + len(data)
        before = self._file.total
        note = self._note()

        try:
            self._look(at_once=self._file.is_due())  # where it was moved to is no place to rotate in
            if self._file.is_due() and self._owner is None:
                self._file.rotate()
            self._add(stream, note, data)
        except OSError as error:
            stored = self._file.total - before
            told = stored >= len(note)
            self._lost = due - stored + (len(note) if told else self._lost)
            self._drop(stream, data, error)
            raise

        self._lost = 0

    def close(self) -> None:
        """Write unfinished lines that still wait, and close the file; OSError when they cannot be written."""
        self._used = True
        try:
            if self._held or self._lost:
                self._look()
                self._finish()
        finally:
            self._file.close()

    def close_unused(self) -> None:
        """Close the file of a run that ended before anybody wrote."""
        if not self._used:
            self.close()

    def disown(self) -> None:
        """Let go of the file in a forked child: its parent writes to it, and alone."""
        self._file.disown()

    def _prepared(self, stream: StreamName, data: bytes) -> bytes:
        if stream in self._skipping:
            data = self._behind_the_gap(stream, data)
        return self._stamped(stream, data) if self._timestamps and data else data

    def _finish(self) -> None:
        if self._owner is not None:
            self._append(self._owner, b"\n")
        self._append("stderr", self._note())
        for stream, text in self._held.items():
            self._append(stream, text)

    def _unfinished(self, stream: StreamName) -> int:
        return len(self._loose) if self._owner == stream else len(self._held.get(stream, b""))

    def _look(self, *, at_once: bool = False) -> None:
        """Make the file again when somebody took it away, with the unfinished line that went with it."""
        if self._file.look(len(self._loose), at_once=at_once):
            loose, self._loose = self._loose, b""
            self._put(self._owner or "stdout", loose)

    def _add(self, stream: StreamName, note: bytes, data: bytes) -> None:
        if note and self._owner is not None:
            self._insert(self._owner, stream, note)
            note = b""

        if self._owner is not None and self._owner != stream:
            self._add_before(self._owner, stream, data)
        else:
            self._append(stream, note + self._held.pop(stream, b"") + data)

        if self._held and self._owner is None:
            ((other, text),) = self._held.items()
            self._append(other, text)
            self._held.clear()

    def _add_before(self, owner: StreamName, stream: StreamName, data: bytes) -> None:
        """Write lines of one stream while the line of the other is unfinished."""
        text = self._held.get(stream, b"") + data
        cut = text.rfind(b"\n") + 1
        lines, rest = text[:cut], text[cut:]
        if len(rest) > LONGEST:
            lines, rest = text + b"\n", b""

        if lines:
            self._insert(owner, stream, lines)
            self._held.pop(stream, None)

        if rest:
            self._held[stream] = rest

    def _insert(self, owner: StreamName, stream: StreamName, lines: bytes) -> None:
        self._look(at_once=True)

        if self._long:
            self._put(owner, b"\n")
            self._append(stream, lines)
        # No room for both: the unfinished line moves into the next file, where its rest will come.
        elif self._file.size + len(lines) + len(self._loose) > self._max_size:
            loose = self._loose
            self._take_back()
            self._held[owner] = loose
            self._append(stream, lines)
            self._append(owner, loose)
            del self._held[owner]
        else:
            self._file.write_over(stream, lines, owner, self._loose)

    def _append(self, stream: StreamName, text: bytes) -> None:
        if self._room() < len(text):
            self._look(at_once=True)
            text = self._fitted(stream, text)
        self._put(stream, text)

    def _room(self) -> int:
        return self._max_size - self._file.size - len(self._loose)

    def _fitted(self, stream: StreamName, text: bytes) -> bytes:
        """Fill files with whole lines and rotate them, until what is left fits in the last one."""
        while (room := self._room()) < len(text):
            cut = self._cut(text, max(room, 0))
            if cut < 0:
                break
            if cut:
                self._put(stream, text[:cut])
            elif self._loose:
                text = self._loose + text
                self._take_back()
            text = text[cut:]
            if not text:
                break
            if not self._file.rotate():
                break

        return text

    def _cut(self, text: bytes, room: int) -> int:
        """Where to end a file within `text`: 0 before the line that is unfinished, -1 not in this text."""
        cut = text.rfind(b"\n", 0, room) + 1
        if cut:
            return cut
        if self._long:
            return room if self._file.size else max(room, LONGEST)
        return 0 if self._file.size else text.find(b"\n") + 1 or -1

    def _put(self, stream: StreamName, text: bytes) -> None:
        """Write at the end, and find out what of it is unfinished."""
        self._file.note(stream, text, None if self._owner is None else len(self._loose))
        cut = text.rfind(b"\n") + 1
        done = len(self._loose) + cut if cut else 0
        loose = text[cut:] if cut else self._loose + text
        long = self._long and not cut
        if long or len(loose) > LONGEST:
            done += len(loose)
            loose, long = b"", True

        self._file.write(text, done)
        self._loose, self._long = loose, long
        self._owner = stream if loose or long else None

    def _take_back(self) -> None:
        self._file.cut_off()
        self._owner, self._loose = None, b""

    def _drop(self, stream: StreamName, data: bytes, error: OSError) -> None:
        """Leave no torn line behind: the file ends where its last whole line ends."""
        self._reason = error.strerror or str(error)

        if self._owner is not None and self._owner != stream and self._loose:
            self._held[self._owner] = self._loose

        self._held.pop(stream, None)
        self._loose = b""
        self._owner = self._owner if self._long else None
        self._file.repair(error)

        if not data.endswith(b"\n"):
            self._skipping.add(stream)

    def _behind_the_gap(self, stream: StreamName, data: bytes) -> bytes:
        """Drop the rest of a line whose beginning was dropped."""
        cut = data.find(b"\n") + 1
        self._lost += cut or len(data)
        if not cut:
            return b""
        self._skipping.discard(stream)
        self._in_line.discard(stream)
        return data[cut:]

    def _note(self) -> bytes:
        if not self._lost:
            return b""
        return self._gap(self._lost, self._reason)

    def _stamped(self, stream: StreamName, data: bytes) -> bytes:
        now = datetime.now(UTC).isoformat(timespec="milliseconds").removesuffix("+00:00")
        stamp = f"{now}Z ".encode()
        lines = data.count(b"\n") - data.endswith(b"\n")
        text = data.replace(b"\n", b"\n" + stamp, lines)
        text = text if stream in self._in_line else stamp + text
        self._in_line.add(stream)

        if data.endswith(b"\n"):
            self._in_line.discard(stream)

        return text
