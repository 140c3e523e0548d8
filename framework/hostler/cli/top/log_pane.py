"""What the chosen server prints, as it comes, over its restarts and those of hostler."""

from __future__ import annotations

import asyncio
from collections import deque

from rich.text import Text
from textual import work
from textual.widgets import Log

from hostler.cli.top.words import log_line
from hostler.client import AsyncClient
from hostler.errors import ServerError
from hostler.text.sanitize import one_line

KEPT = 5000
_FIRST = 1000  # lines of before
_SHOW_SECONDS = 0.1
_PAUSE_SECONDS = 0.5


class LogPane(Log):
    """The lines of one server. Scrolled up it stands still, at its end it follows: `auto_scroll`."""

    def __init__(self, client: AsyncClient) -> None:
        super().__init__(max_lines=KEPT, id="log")
        self._client = client
        self._coming: deque[str] = deque(maxlen=KEPT)
        self._title = ""
        self.server: str | None = None

    def on_mount(self) -> None:
        """Show at most so often: a flood is read in pieces."""
        self.set_interval(_SHOW_SECONDS, self._show)

    def follow(self, server: str | None) -> None:
        """Show the lines of this server from now on."""
        if server == self.server:
            return
        self.server = server
        self._coming.clear()
        self.clear()
        self.auto_scroll = True
        if server is not None:
            self._read(server)

    def toggle(self) -> None:
        """Stand still, or go to the end and on from there."""
        self.auto_scroll = not self.auto_scroll
        self._write()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Follow from the end on, and not from anywhere else.

        Of Textual, whether it is at its end decides with each line: it would stand still for good where a
        row more in the table, or a smaller terminal, has taken a line from it.
        """
        super().watch_scroll_y(old_value, new_value)
        self.auto_scroll = new_value >= self.max_scroll_y

    @work(exclusive=True, group="log")
    async def _read(self, server: str) -> None:
        after: str | None = None
        while True:
            try:
                last = _FIRST if after is None else None
                async with self._client.follow_log(server, after=after, last=last) as lines:
                    async for value in lines:
                        self._coming.append(log_line(value))
                        after = lines.cursor
            except (ServerError, OSError):  # nobody is there for the moment; the head says so
                pass
            await asyncio.sleep(_PAUSE_SECONDS)

    def _show(self) -> None:
        if self.scroll_target_y < self.scroll_y:  # on its way up, from which a new line must not take it back
            self.auto_scroll = False
        self._write()

    def _write(self) -> None:
        if self.auto_scroll:
            if self._coming:
                self.write_lines(self._coming)
                self._coming.clear()
            if not self.is_vertical_scroll_end:
                self.scroll_end(animate=False, immediate=True, x_axis=False)
        self._entitle()

    def _entitle(self) -> None:
        name = one_line(self.server or "")
        if not self.auto_scroll:
            title = f"{name}: stands still, {len(self._coming)} new; f follows"
        else:
            title = f"{name}: no line yet" if name and not self.line_count else name
        if title != self._title:
            self._title = title
            self.border_title = Text(title)  # a str would be read as markup
