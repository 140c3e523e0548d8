"""When a run in the background ends by itself: its folder is gone, or nothing has run for long enough."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path

from hostler.concurrency.event_loop import loop_time
from hostler.events.events import Event, StateChanged
from hostler.supervisor.handle import engine_of
from hostler.supervisor.supervisor import Supervisor

CONFIGURATION_GONE = "configuration_gone"
"""The topic of the notice that the folder of the configuration is gone, and hostler about to end."""

_LOOK_SECONDS = 60.0
_LEAST = 0.01  # where a client has left at this very moment


class BackgroundEnd:
    """Waits for a reason to end. `idle_for` tells for how long no client has been connected."""

    def __init__(
        self, supervisor: Supervisor, folder: Path, idle_exit: float | None, idle_for: Callable[[], float]
    ) -> None:
        self._supervisor = supervisor
        self._folder = folder
        self._idle_exit = float("inf") if idle_exit is None else idle_exit
        self._idle_for = idle_for
        self._changed_at = loop_time()

    async def wait(self, look: Callable[[], None]) -> str:
        """Wait for it, and return it in words; `look` is called once a minute meanwhile."""
        end = self._supervisor.listen(self._on_event)
        works = [asyncio.create_task(self._until_gone(look)), asyncio.create_task(self._until_idle())]
        try:
            done, _ = await asyncio.wait(works, return_when=asyncio.FIRST_COMPLETED)
            return done.pop().result()
        finally:
            end()
            for work in works:
                work.cancel()

    async def _until_gone(self, look: Callable[[], None]) -> str:
        missing = 0
        while missing < 2:
            await asyncio.sleep(_LOOK_SECONDS)
            look()
            # Once may be somebody who puts another in its place.
            missing = missing + 1 if _is_gone(self._folder) else 0
        text = f"{self._folder} is gone: shutting down"
        for server in list(self._supervisor.servers.values())[:1]:
            engine_of(server).notice(CONFIGURATION_GONE, text, level="warning", folder=str(self._folder))
            return ""
        return text

    async def _until_idle(self) -> str:
        while (left := self._idle_exit - self._seconds_idle()) > 0:  # noqa: ASYNC110 - what counts is time
            # What begins and ends meanwhile is seen by the time of its end.
            await asyncio.sleep(max(min(left, _LOOK_SECONDS), _LEAST))
        return "nothing has run for long enough: shutting down"

    def _seconds_idle(self) -> float:
        if any(not server.state.at_rest for server in self._supervisor.servers.values()):
            return 0.0
        return min(loop_time() - self._changed_at, self._idle_for())

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StateChanged):
            self._changed_at = loop_time()


def _is_gone(folder: Path) -> bool:
    try:
        os.stat(folder)  # noqa: PTH116
    except FileNotFoundError:
        return True
    except OSError:
        return False
    return False
