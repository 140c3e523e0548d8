"""The table of servers, of which one is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import ClassVar

from rich.text import Text
from textual.binding import Binding, BindingType
from textual.widgets import DataTable

from hostler.cli.top.history import History
from hostler.cli.top.words import HEAD, SPARK_AT, cells, spark_width, style_of
from hostler.control.server_shapes import ServerRow


class ServerTable(DataTable[Text]):
    """A row for each server; the chosen one stays chosen when others come and go."""

    BINDINGS: ClassVar[list[BindingType]] = [  # those of the table would move over columns
        Binding("home", "scroll_top", "First", show=False),
        Binding("end", "scroll_bottom", "Last", show=False),
        Binding("j", "cursor_down", "Next", show=False),
        Binding("k", "cursor_up", "Previous", show=False),
    ]

    def __init__(self, history: History) -> None:
        super().__init__(cursor_type="row", id="servers")
        self._history = history
        self._names: list[str] = []
        self._spark = -1

    @property
    def chosen(self) -> str | None:
        """The name of the chosen server; None where none is shown."""
        return self._names[self.cursor_row] if 0 <= self.cursor_row < len(self._names) else None

    def show(self, rows: Sequence[ServerRow], text: str, columns: int) -> None:
        """Show those with this text in their name or state, in a terminal of so many columns."""
        text = text.casefold()
        found = [row for row in rows if text in row.name.casefold() or text in row.state.replace("_", " ")]
        names, spark, now = [row.name for row in found], spark_width(columns), datetime.now(UTC)
        lines = [self._line(row, spark, now) for row in found]
        if (names, spark) != (self._names, self._spark):
            self._build(names, spark, lines)
            return
        for name, line in zip(names, lines, strict=True):
            for column, cell in enumerate(line):
                if self.get_cell(name, str(column)) != cell:
                    self.update_cell(name, str(column), cell, update_width=True)

    def _line(self, row: ServerRow, spark: int, now: datetime) -> list[Text]:
        # As Text, or a cell would be read as markup.
        line = [Text(cell) for cell in cells(row, self._history, spark, now)]
        line[1].stylize(style_of(row))
        return line

    def _build(self, names: list[str], spark: int, lines: list[list[Text]]) -> None:
        chosen = self.chosen
        self.clear(columns=True)
        self._names, self._spark = names, spark
        head = list(HEAD)
        if spark:
            head.insert(SPARK_AT, f"LAST {spark} MIN")
        for column, label in enumerate(head):
            self.add_column(label, key=str(column))
        for name, line in zip(names, lines, strict=True):
            self.add_row(*line, key=name)
        self.move_cursor(row=names.index(chosen) if chosen in names else 0)
