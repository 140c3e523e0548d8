"""What the soak notes while it goes on, and what it finds when it is over."""

from __future__ import annotations

import asyncio
import gc
import os
import re
import statistics
import threading
import time
from collections import Counter
from collections.abc import Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostler import Event, StateChanged
from measuring import Row

GROWTH = 2.0
"""MiB that hostler may grow from the second to the last quarter of a run.

In the first one buffers reach their sizes, the crash records that are kept fill up, and so does the heap.
"""

_LINE = re.compile(rb"^soak (\S+) (\d+) and some words$")


@dataclass(frozen=True, slots=True)
class Sample:
    """hostler's own use of the machine at one moment."""

    at: float
    rss: float
    fds: int
    threads: int
    tasks: int


@dataclass
class Ledger:
    """Everything that was seen."""

    began: float = field(default_factory=time.monotonic)
    samples: list[Sample] = field(default_factory=list)
    before: Sample | None = None
    after: Sample | None = None
    faults: Counter[str] = field(default_factory=Counter)
    answers: Counter[str] = field(default_factory=Counter)
    events: Counter[str] = field(default_factory=Counter)
    hung: list[str] = field(default_factory=list)
    deferred: int = 0
    _open: set[asyncio.Task[None]] = field(default_factory=set)

    def hear(self, event: Event) -> None:
        """Count an event."""
        name = event.state.value if isinstance(event, StateChanged) else event.kind
        self.events[name] += 1

    def open(self, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside everything else."""
        task = asyncio.create_task(work)
        self._open.add(task)
        task.add_done_callback(self._open.discard)

    async def close(self) -> None:
        """Wait for what was opened."""
        for task in list(self._open):
            await task


def look(began: float) -> Sample:
    """Look at this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return Sample(
        at=time.monotonic() - began,
        rss=pages * os.sysconf("SC_PAGE_SIZE") / 2**20,
        fds=len(os.listdir("/proc/self/fd")),  # noqa: PTH208
        threads=threading.active_count(),
        tasks=len(asyncio.all_tasks()),
    )


def lost_lines(folder: Path) -> tuple[int, int]:
    """How many lines the servers wrote into their pipes, and how many of them no log file holds."""
    logged: dict[str, set[int]] = {}

    for file in (folder / "data").rglob("*.log*"):
        for line in file.read_bytes().splitlines():
            if found := _LINE.match(line):
                logged.setdefault(found[1].decode(), set()).add(int(found[2]))

    written = {
        path.name: int.from_bytes(path.read_bytes(), "little") for path in (folder / "counts").iterdir()
    }
    lost = sum(len(set(range(1, count + 1)) - logged.get(run, set())) for run, count in written.items())
    return sum(written.values()), lost


def rows(ledger: Ledger, folder: Path, lines: tuple[int, int]) -> list[Row]:
    """The verdict."""
    assert ledger.before is not None
    assert ledger.after is not None
    samples = ledger.samples[1:]  # the first one is taken before everything has been used once
    early, late = early_and_late([sample.rss for sample in samples])
    slope = _slope(samples[len(samples) // 2 :])
    return [
        Row(
            "memory, second and last quarter",
            f"{early:.1f} and {late:.1f} MiB, {slope:+.2f} MiB/min in the second half",
            f"before: {ledger.before.rss:.1f} MiB",
            goal=f"growth under {GROWTH:g} MiB",
            met=late - early < GROWTH,
        ),
        flat("descriptors, all ready", [sample.fds for sample in samples]),
        flat("threads, all ready", [sample.threads for sample in samples]),
        flat("asyncio tasks, all ready", [sample.tasks for sample in samples]),
        _none("descriptors at the end", ledger.after.fds - ledger.before.fds),
        _none("tasks at the end", ledger.after.tasks - ledger.before.tasks),
        _none("zombies at the end", _zombies()),
        _none("orphans at the end", _orphans(folder)),
        _none("lost lines", lines[1], f"of {lines[0]}"),
        _none("temporary files left", len(list((folder / "tmp").iterdir()))),
        _none("locks and records left", len(list((folder / "state" / "runs").iterdir()))),
        _none("deferred clean-ups not run", ledger.deferred),
    ]


def early_and_late(values: Sequence[float]) -> tuple[float, float]:
    """The medians of the second and of the last quarter."""
    quarter = max(1, len(values) // 4)
    return statistics.median(values[quarter : 2 * quarter] or values), statistics.median(values[-quarter:])


def flat(question: str, values: Sequence[int], spare: int = 0) -> Row:
    """The last figures are no higher than the first ones, and `spare`."""
    third = max(1, len(values) // 3)
    early, late = values[:third], values[-third:]
    told = f"{min(early)} to {max(early)}, at last {min(late)} to {max(late)}"
    return Row(question, told, goal="flat", met=min(late) <= max(early) + spare)


def _none(question: str, count: int, beside: str = "") -> Row:
    return Row(question, str(count), beside, goal="0", met=count <= 0)


def _slope(samples: list[Sample]) -> float:
    """MiB a minute, as a straight line through the samples."""
    if len({sample.at for sample in samples}) < 2:
        return 0.0
    fitted = statistics.linear_regression(
        [sample.at / 60 for sample in samples], [sample.rss for sample in samples]
    )
    return fitted.slope


def _zombies() -> int:
    count = 0
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):
            state, parent = stat.read_bytes().rpartition(b")")[2].split()[:2]
            count += state == b"Z" and int(parent) == os.getpid()
    return count


def _orphans(folder: Path) -> int:
    """Processes that have our folder on their command line."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):
            count += str(folder).encode() in path.read_bytes()
    return count
