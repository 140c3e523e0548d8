"""A crash record for tests to change."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from hostler import CrashRecord, ExitCause, MemoryPoint, PluginNote, State

NOON = datetime(2026, 1, 2, 12, 0, 0, 678_000, UTC)

_CRASH = CrashRecord(
    server="fake",
    generation=1,
    when=NOON,
    cause=ExitCause.EXITED,
    how="exit code 3",
    reason="it exited unexpectedly while it ran: exit code 3 after 3.8 s",
    outcome=State.BACKOFF,
    error="ServerCrashed",
    hint="look at it",
    pid=4711,
    code=3,
    ready=True,
    uptime=3.8,
    restarts_used=1,
    restarts_allowed=5,
    next_try=NOON,
    stdout="out\n",
    stderr="err\n",
    memory=(MemoryPoint(0.2, 13 * 2**20, 1), MemoryPoint(60.2, 14 * 2**20, 2)),
    plugins=(PluginNote("sse-health", "health_check", "healthy"),),
)


def crash(**changes: Any) -> CrashRecord:
    """A record like any other, but for these fields."""
    return replace(_CRASH, **changes)
