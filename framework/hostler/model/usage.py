"""What a process uses, as it is told to programs and plugins."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """What one living process of a server uses: memory in bytes, times in seconds.

    `cpu` is the time of the processors that it has used itself, `waited_cpu` that of its children that have
    ended, and of theirs. `threads` counts its first one too.
    """

    pid: int
    name: str
    rss: int
    cpu: float = 0.0
    waited_cpu: float = 0.0
    threads: int = 1
