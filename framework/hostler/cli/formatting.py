"""Times, durations and tables, as commands print them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime


def format_time(time: datetime, now: datetime) -> str:
    """A time of the day here, with its date unless that is today's."""
    here, today = time.astimezone(), now.astimezone().date()
    return f"{here:%H:%M:%S}" if here.date() == today else f"{here:%Y-%m-%d %H:%M:%S}"


def format_duration(seconds: float) -> str:
    """A duration in its two largest units: "3.8 s", "4 min 3 s", "2 h 5 min", "3 d 0 h"."""
    if seconds < 60:
        return f"{max(seconds, 0.0):.1f} s"
    minutes, seconds = divmod(int(min(seconds, 1e12)), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    if days:
        return f"{days} d {hours} h"
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s"


def aligned(lines: Sequence[Sequence[str]], right: int | None = None) -> str:
    """Lines in columns; the one with the number `right` is aligned there."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number == right else cell.ljust(width)
            for number, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
