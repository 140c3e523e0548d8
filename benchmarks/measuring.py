"""What was measured, as rows of one table, and what the kernel tells about a process."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Row:
    """One question and its answer; `met` is None where there is no goal.

    The picture shows what has a `title`: what hostler and others do in the same way.
    """

    question: str
    hostler: str
    beside: str = ""
    ratio: str = ""
    goal: str = ""
    met: bool | None = None
    title: str = ""


def spread(values: Sequence[float], unit: str = "ms") -> str:
    """The median with the smallest and the largest; a single value alone."""
    digits = 2 if statistics.median(values) < 10 else 1
    middle, low, high = (
        f"{value:.{digits}f}" for value in (statistics.median(values), min(values), max(values))
    )
    return f"{middle} {unit}" + (f" ({low} to {high})" if len(values) > 1 else "")


def compared(
    question: str,
    ours: Sequence[float],
    name: str,
    theirs: Sequence[float],
    limit: float | None,
    unit: str = "ms",
    title: str = "",
) -> Row:
    """Two series from one run; the goal is a ratio of their medians."""
    ratio = statistics.median(ours) / statistics.median(theirs)
    goal = "" if limit is None else f"within {limit:g} x"
    met = None if limit is None else ratio <= limit
    return Row(
        question, spread(ours, unit), f"{name}: {spread(theirs, unit)}", f"{ratio:.2f}", goal, met, title
    )


def under(question: str, value: float, unit: str, limit: float, beside: str = "", ratio: str = "") -> Row:
    """One figure that has to stay below a limit."""
    return Row(question, f"{value:.2f} {unit}", beside, ratio, f"under {limit:g} {unit}", value < limit)


def series_under(question: str, values: Sequence[float], unit: str, limit: float | None) -> Row:
    """A series whose median has to stay below a limit, where there is one."""
    goal, met = (
        ("", None) if limit is None else (f"under {limit:g} {unit}", statistics.median(values) < limit)
    )
    return Row(question, spread(values, unit), goal=goal, met=met)


def as_table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    met = {True: "yes", False: "NO", None: ""}
    cells = [["question", "hostler", "beside it", "ratio", "goal", "met"]]
    cells += [[row.question, row.hostler, row.beside, row.ratio, row.goal, met[row.met]] for row in rows]
    widths = [max(len(line[column]) for line in cells) for column in range(6)]
    lines = [
        "| " + " | ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)) + " |"
        for line in cells
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])


def until(condition: Callable[[], bool], seconds: float = 30.0, pause: float = 0.002) -> None:
    """Wait for something that cannot tell by itself. Raises TimeoutError."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            raise TimeoutError("it did not come")
        time.sleep(pause)


def memory(pid: int) -> dict[str, float]:
    """RSS, PSS (shared pages divided) and USS (private pages) in MiB."""
    sizes = {"rss": 0, "pss": 0, "uss": 0}
    names = {"Rss:": "rss", "Pss:": "pss", "Private_Clean:": "uss", "Private_Dirty:": "uss"}
    for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        words = line.split()
        if words[0] in names:
            sizes[names[words[0]]] += int(words[1])
    return {name: size / 1024 for name, size in sizes.items()}


def threads(pid: int) -> list[Path]:
    return list(Path(f"/proc/{pid}/task").iterdir())


def _in_threads(pid: int, name: str) -> Iterator[str]:
    """What the kernel tells of each thread; one that has just ended tells nothing."""
    for thread in threads(pid):
        with suppress(OSError):
            yield (thread / name).read_text()


def wakeups(pid: int) -> int:
    """How often any thread of a process has waited and been woken so far."""
    lines = [line for status in _in_threads(pid, "status") for line in status.splitlines()]
    return sum(int(line.split()[1]) for line in lines if line.startswith("voluntary_ctxt_switches"))


def cpu(pid: int) -> float:
    """Seconds of CPU that all threads of a process have used so far."""
    return sum(int(schedstat.split()[0]) for schedstat in _in_threads(pid, "schedstat")) / 1e9


def descriptors(pid: int) -> int:
    return sum(1 for _ in Path(f"/proc/{pid}/fd").iterdir())


def children(pid: int) -> list[int]:
    """The living children of a process, zombies left out."""
    found = []
    for child in " ".join(_in_threads(pid, "children")).split():
        with suppress(OSError):
            if Path(f"/proc/{child}/stat").read_text().rpartition(")")[2].split()[0] != "Z":
                found.append(int(child))
    return found
