"""A plugin for long_idle.py: notes each moment at which the event loop was late, and the milliseconds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import anyio
from hostler import Endpoint, ServerView, hookimpl, option

PAUSE = 0.002  # seconds


@dataclass(eq=False)
class LoopProbe:
    """Notes how late the event loop is."""

    path: Path = option(Path(), "The file that gets a line for each moment")

    @hookimpl
    async def on_ready(self, server: ServerView, endpoint: Endpoint | None) -> None:
        server.start_soon(self._watch)

    async def _watch(self) -> None:
        with self.path.open("a", buffering=1) as file:
            while True:
                before = time.monotonic()
                await anyio.sleep(PAUSE)
                now = time.monotonic()
                if (late := now - before - PAUSE) > 0.001:
                    file.write(f"{now} {late * 1000}\n")
