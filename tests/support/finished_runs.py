"""Servers that are run until they have ended, and what is left of that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import anyio
from hostler import CrashRecord, Directories, Event, ServerSpec, Supervisor
from hostler.records.crash_store import CrashStore


@dataclass
class FinishedRun:
    """What a server that has ended reported, and what is on record of it."""

    events: list[Event]
    crashes: tuple[CrashRecord, ...]
    data_dir: Path

    @property
    def stored(self) -> list[CrashRecord]:
        return [record for _, record in CrashStore(self.data_dir).read("fake")]


async def run_to_end(spec: ServerSpec, directories: Directories, **options: Any) -> FinishedRun:
    """Run a server until it has stopped or failed for good."""
    events: list[Event] = []
    with anyio.fail_after(30):
        async with Supervisor(spec, directories=directories, **options) as supervisor:
            supervisor.listen(events.append)
            await supervisor["fake"].wait_stopped()
            crashes = supervisor["fake"].crashes
    return FinishedRun(events, crashes, supervisor["fake"].data_dir)
