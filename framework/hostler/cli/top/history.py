"""What servers have used in the last hour, as lines of one character a minute."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from hostler.control.server_shapes import MemorySample, ServerRow

POINTS = 60
"""Those of a whole line: one for each minute of an hour."""

_BARS = "▁▂▃▄▅▆▇█"


class History:
    """The samples of all servers that are known."""

    def __init__(self) -> None:
        self._samples: dict[str, Sequence[MemorySample]] = {}

    def lacks(self, row: ServerRow) -> bool:
        """Whether there is a newer sample of a server than those that are known."""
        known = self._samples.get(row.name)
        if row.memory is None:
            return known is None  # also of one that runs no more: what it used before
        return not known or known[-1].time != row.memory.at

    def keep(self, name: str, samples: Sequence[MemorySample]) -> None:
        """Know these samples of a server, oldest first."""
        self._samples[name] = samples

    def spark(self, name: str, width: int, now: datetime) -> str:
        """The most memory in each of the last minutes, that of now at the end; a blank where none is known.

        The highest bar is the most of the whole hour.
        """
        most = [0] * POINTS
        for sample in self._samples.get(name, ()):
            age = (now - datetime.fromisoformat(sample.time)) // timedelta(minutes=1)
            if 0 <= age < POINTS:
                most[-1 - age] = max(most[-1 - age], sample.rss)
        top = max(most)
        bars = (_BARS[(len(_BARS) - 1) * rss // top] if rss else " " for rss in most)
        return "".join(bars)[POINTS - width :]

    def most(self, name: str) -> int | None:
        """The most memory of the last hour; None where none is known."""
        return max((sample.rss for sample in self._samples.get(name, ())), default=None)

    def cpu(self, row: ServerRow) -> float | None:
        """Which part of one processor the present run used between its last two samples."""
        samples = [one for one in self._samples.get(row.name, ()) if one.generation == row.generation][-2:]
        if row.pid is None or len(samples) < 2:
            return None
        before, last = samples
        seconds = (datetime.fromisoformat(last.time) - datetime.fromisoformat(before.time)).total_seconds()
        return max(last.cpu_seconds - before.cpu_seconds, 0.0) / seconds if seconds > 0 else None
