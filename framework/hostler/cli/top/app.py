"""The screen of `hostler top`: a program on the control API, which it reads and asks over its client."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import Any, ClassVar, Literal

from textual import work
from textual.app import App, ComposeResult
from textual.binding import Binding, BindingType
from textual.widgets import DataTable, Footer, Input, Static

from hostler.cli.top.history import History
from hostler.cli.top.log_pane import LogPane
from hostler.cli.top.screens import Page, Question
from hostler.cli.top.server_table import ServerTable
from hostler.cli.top.words import HELP, change_line, chosen_lines, counts, event_line, explained
from hostler.client import AsyncClient, Gap, NotRunning, RequestRefused
from hostler.control.server_shapes import ServerRow
from hostler.errors import ServerError
from hostler.text.sanitize import harmless, one_line

_LOOK_SECONDS = 1.0
_LEAST_SECONDS = 0.1  # between two looks, however many events come
_PAUSE_SECONDS = 0.5
_FAILURES = (ServerError, OSError)  # also TimeoutError


class Top(App[int]):
    """The servers of one hostler. Its end stops nothing."""

    TITLE = "hostler top"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #head { text-style: bold; }
    #head, #news { height: 1; text-wrap: nowrap; text-overflow: ellipsis; }
    #servers { height: auto; max-height: 50%; scrollbar-size-horizontal: 0; }
    #chosen { height: 2; text-wrap: nowrap; text-overflow: ellipsis; }
    #log { height: 1fr; overflow: auto; border-top: solid $foreground; }
    #filter { display: none; height: 1; border: none; padding: 0; }
    #filter.open { display: block; }
    .full #servers, .full #chosen { display: none; }
    DataTable:nocolor > .datatable--cursor { text-style: reverse; }
    """
    BINDINGS: ClassVar[list[BindingType]] = [
        ("question_mark", "help", "Help"),  # first, as the last ones are cut in a narrow terminal
        Binding("q", "quit", "Quit"),
        ("slash", "filter", "Filter"),
        ("s", "start", "Start"),
        ("x", "ask('stop')", "Stop"),
        ("r", "ask('restart')", "Restart"),
        ("l", "full_log", "Log"),
        ("c", "crash", "Crash"),
        ("e", "explain", "Explain"),
        Binding("f", "follow", "Follow", show=False),
        Binding("y", "copy_url", "Copy URL", show=False),
        Binding("o", "open_url", "Open URL", show=False),
        Binding("escape", "leave", "Back", show=False),
    ]

    def __init__(self, client: AsyncClient, file: str) -> None:
        # With the colours of the terminal, all are left out for NO_COLOR; else there would be greys.
        super().__init__(ansi_color="NO_COLOR" in os.environ)
        self._client = client
        self._file = one_line(file)
        self._history = History()
        self._rows: list[ServerRow] = []
        self._seen: datetime | None = None
        self._head = Static(id="head", markup=False)
        self._table = ServerTable(self._history)
        self._facts = Static(id="chosen", markup=False)
        self._pane = LogPane(client)
        self._typed = Input(placeholder="name or state", id="filter")
        self._news = Static(id="news", markup=False)

    def compose(self) -> ComposeResult:
        """The table, the log of the chosen server below it, and the last event."""
        yield from (self._head, self._table, self._facts, self._pane, self._typed, self._news)
        yield Footer(show_command_palette=False, compact=True)

    def on_mount(self) -> None:
        """Begin to look."""
        self._table.focus()
        self._watch()

    async def on_unmount(self) -> None:
        """Close what connections are kept."""
        await self._client.close()

    # -- what is seen ---------------------------------------------------------------------------

    @work
    async def _watch(self) -> None:
        while True:
            try:
                async with self._client.follow_events() as events:
                    while True:
                        await self._look()
                        if not await self._hear(events):
                            break
            except _FAILURES as error:
                self._tell_lost(error)
            await asyncio.sleep(_PAUSE_SECONDS)

    async def _look(self) -> None:
        self._rows = (await self._client.servers()).servers
        if self._seen is None:
            self._news.update(change_line(self._rows, datetime.now(UTC)))
        self._seen = datetime.now(UTC)
        self._show()
        lacking = [row.name for row in self._rows if self._history.lacks(row)]
        for name in lacking:
            # It may have been removed meanwhile.
            with suppress(RequestRefused):
                self._history.keep(name, (await self._client.memory(name)).points)
        if lacking:
            self._show()

    async def _hear(self, events: Any) -> bool:
        """Wait for an event, but not for long; False when no more come."""
        with suppress(TimeoutError):
            async with asyncio.timeout(_LOOK_SECONDS):
                event = await anext(events, None)
                if event is None:
                    return False
                self._tell(event)
            with suppress(TimeoutError):
                async with asyncio.timeout(_LEAST_SECONDS):
                    async for event in events:
                        self._tell(event)
        return True

    def _tell(self, event: dict[str, Any] | Gap) -> None:
        gap = "--- events are missing here ---"
        line = gap if isinstance(event, Gap) else event_line(event, datetime.now(UTC))
        self._news.update(line)

    def _tell_lost(self, error: Exception) -> None:
        gone = isinstance(error, NotRunning)
        what = f"no hostler supervises {self._file} now" if gone else "hostler cannot be talked to"
        seen = "" if self._seen is None else f"; last news {self._seen.astimezone():%H:%M:%S}"
        # What is long, at the end: it may be cut.
        self._head.update(f"{what}, trying{seen}{'' if gone else f'; {one_line(str(error))}'}")

    def _show(self) -> None:
        self._head.update(f"hostler {self._client.version}  {self._file}  {counts(self._rows)}")
        text = self._typed.value
        self._table.show(self._rows, text, self.size.width)
        self._show_chosen()

    def _show_chosen(self) -> None:
        row = self._chosen()
        if row is not None:
            lines = chosen_lines(row, self._history, datetime.now(UTC), self.size.width)
        elif self._rows:
            lines = "no server has this in its name or state; Escape shows all"
        else:
            lines = f"no servers: add one to {self._file}, then hostler up"
        self._facts.update(lines)
        self._pane.follow(None if row is None else row.name)

    def on_data_table_row_highlighted(self, event: DataTable.RowHighlighted) -> None:
        """Show the server that is chosen now."""
        if self.screen_stack:  # it comes at the end, too
            self._show_chosen()

    def on_resize(self) -> None:
        """Show as much as fits."""
        if self._seen is not None:
            self._show()

    def _chosen(self) -> ServerRow | None:
        name = self._table.chosen
        return next((row for row in self._rows if row.name == name), None)

    # -- what is asked --------------------------------------------------------------------------

    def action_start(self) -> None:
        """Start the chosen server."""
        if (row := self._chosen()) is not None:
            self._send("start", row.name)

    def action_ask(self, verb: str) -> None:
        """Stop or restart the chosen server, if that is meant."""
        if (row := self._chosen()) is None:
            return
        name = row.name

        def answered(yes: bool | None) -> None:
            if yes:
                self._send(verb, name)

        self.push_screen(Question(f"{verb} {name}?"), answered)

    @work(group="command")
    async def _send(self, verb: str, name: str) -> None:
        calls: dict[str, Callable[..., Awaitable[Any]]]
        calls = {"start": self._client.start, "stop": self._client.stop, "restart": self._client.restart}
        with self._failures_told():
            await calls[verb](name, wait=False)

    @contextmanager
    def _failures_told(self) -> Iterator[None]:
        try:
            yield
        except _FAILURES as error:
            self._say(str(error), "error")

    def _say(self, text: str, severity: Literal["information", "error"] = "information") -> None:
        self.notify(harmless(text), severity=severity, markup=False)

    @work(exclusive=True, group="page")
    async def action_crash(self) -> None:
        """Show the last crash of the chosen server in full."""
        if (row := self._chosen()) is None:
            return
        with self._failures_told():
            crashes = (await self._client.crashes(row.name)).crashes
            text = _crash_page(crashes[-1]) if crashes else f"{row.name} has not crashed, as far as is known"
            self.push_screen(Page(text))

    @work(exclusive=True, group="page")
    async def action_explain(self) -> None:
        """Say why the chosen server is as it is."""
        if (row := self._chosen()) is None:
            return
        with self._failures_told():
            spawned = (await self._client.events(kind="spawned", server=row.name)).events
            log = [f"Log file: {spawned[-1]['log_file']}"] if spawned and spawned[-1].get("log_file") else []
            self.push_screen(Page("\n".join([*explained(row, datetime.now(UTC)), *log])))

    # -- what is shown by keys ------------------------------------------------------------------

    def action_help_quit(self) -> None:
        """Leave by Ctrl-C, where it has no selected text to copy."""
        self.exit()

    def action_help(self) -> None:
        """Show the keys."""
        self.push_screen(Page(HELP))

    def action_filter(self) -> None:
        """Have a part of a name or state typed; Enter goes back to the table."""
        self._typed.add_class("open").focus()

    def on_input_changed(self) -> None:
        """Show what is left."""
        self._show()

    def on_input_submitted(self) -> None:
        """Go on with what is left."""
        self._table.focus()

    def action_leave(self) -> None:
        """Leave the full log, else show all servers again."""
        screen = self.screen_stack[0]
        if screen.has_class("full"):
            screen.remove_class("full")
        else:
            self._typed.remove_class("open")
            self._typed.clear()
        self._table.focus()

    def action_full_log(self) -> None:
        """Give the log the whole screen, and take it away again."""
        if self.screen_stack[0].has_class("full"):
            self.action_leave()
        else:
            self.screen_stack[0].add_class("full")
            self._pane.focus()

    def action_follow(self) -> None:
        """Have the log stand still, or follow again."""
        self._pane.toggle()

    def action_copy_url(self) -> None:
        """Copy the URL of the chosen server."""
        if (url := self._url()) is not None:
            self.copy_to_clipboard(url)
            self._say(f"copied: {url}")

    def action_open_url(self) -> None:
        """Open the URL of the chosen server in a browser, where there is one with a window of its own."""
        if (url := self._url()) is None:
            return
        if sys.platform == "darwin" or os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"):
            self.open_url(url)
        else:
            self._say(f"there is no display here for a browser: {url}")

    def _url(self) -> str | None:
        row = self._chosen()
        if row is None or row.url is None or not row.url.startswith(("http://", "https://")):
            self._say("it has no URL now")
            return None
        return one_line(row.url)


def _crash_page(known: dict[str, Any]) -> str:
    # Not before somebody asks: these read files too.
    from hostler.cli.crashes import page  # noqa: PLC0415
    from hostler.events.crash import CrashRecord  # noqa: PLC0415
    from hostler.records.crash_store import StoredCrash  # noqa: PLC0415

    record = CrashRecord.from_dict(known)
    return page(StoredCrash(record.number, record), datetime.now(UTC))
