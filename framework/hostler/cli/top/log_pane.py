"""What the chosen server prints, as it comes, over its restarts and those of hostler."""

from __future__ import annotations

import asyncio
from collections import deque
from datetime import datetime

from textual import work
from textual.widgets import Log

from hostler.client import AsyncClient, Gap, LogLine
from hostler.control.log_shapes import LogRun
from hostler.errors import ServerError
from hostler.text.sanitize import harmless

KEPT = 5000
_FIRST = 1000  # lines of before
_SHOW_SECONDS = 0.1
_PAUSE_SECONDS = 0.5


class LogPane(Log):
    """The lines of one server. Scrolled up it stands still, at its end it follows."""

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(max_lines=KEPT, id="log")
        self._client = client
        self._coming: deque[str] = deque(maxlen=KEPT)
        self.server: str | None = None

    def on_mount(self) -> None:
        """Show at most so often: a flood is read in pieces."""
        self.set_interval(_SHOW_SECONDS, self._write)

    def follow(self, server: str | None) -> None:
        """Show the lines of this server from now on."""
        if server == self.server:
            return
        self.server = server
        self._coming.clear()
        self.clear()
        if server is not None:
            self._read(server)

    def toggle(self) -> None:
        """Stand still, or go to the end and on from there."""
        self.auto_scroll = not self.auto_scroll
        if self.auto_scroll:
            self.scroll_end(animate=False)

    @work(exclusive=True, group="log")
    async def _read(self, server: str) -> None:
        after: str | None = None
        while True:
            try:
                last = _FIRST if after is None else None
                async with self._client.follow_log(server, after=after, last=last) as lines:
                    async for value in lines:
                        self._coming.append(_shown(value))
                        after = lines.cursor
            except (ServerError, OSError):  # nobody is there for the moment; the head says so
                pass
            await asyncio.sleep(_PAUSE_SECONDS)

    def _write(self) -> None:
        if self._coming:
            self.write_lines(self._coming)
            self._coming.clear()


def _shown(value: LogLine | LogRun | Gap) -> str:
    if isinstance(value, Gap):
        return "--- lines are missing here ---"
    time = "" if value.time is None else f"{datetime.fromisoformat(value.time).astimezone():%H:%M:%S} "
    if isinstance(value, LogRun):
        return f"--- {time}run {value.run} began (pid {value.pid}) ---"
    text = harmless(value.text).replace("\n", " ")
    return f"{time}{'!' if value.stream == 'stderr' else '|'} {text}"
