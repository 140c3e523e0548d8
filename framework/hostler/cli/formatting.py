"""Times and durations, as commands print them."""

from __future__ import annotations

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
