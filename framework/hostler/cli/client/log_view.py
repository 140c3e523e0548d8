"""Lines of logs as `hostler logs` shows them: merged, with times, names, and marks where runs begin."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

from hostler.cli.client.output import Output
from hostler.cli.command_line import Arguments
from hostler.text.sanitize import harmless

Line = dict[str, Any]
Run: TypeAlias = "tuple[int | None, int | None]"
"""Its number and its pid, where they are known."""

_WIDEST = 24
_COLOURS = (36, 35, 34, 32, 33, 96, 95, 94)
_NO_TIME = "-" * len("2026-01-02T08:02:59.120Z")


class LogView:
    """Shows lines, with a mark where another run begins than that of the line before."""

    def __init__(self, arguments: Arguments, output: Output, servers: Sequence[str]) -> None:
        self._output = output
        self._raw = arguments.has("raw")
        self._with_time = not (self._raw or arguments.has("no-time"))
        self._with_name = not (self._raw or arguments.has("no-prefix"))
        self._in_colour = _takes_colour()
        self._servers = list(servers)
        self._runs: dict[str, Run] = {}
        self._prefixes: dict[str, str] = {}

    def know(self, runs: Mapping[str, Run]) -> None:
        """Take note of the present runs of servers of which no line was shown."""
        self._runs = {**runs, **self._runs}

    def show(self, lines: Iterable[Line]) -> None:
        """Show lines, oldest first."""
        many: list[tuple[object, str]] = []
        for line in lines:
            if mark := self._mark(line):
                many.append((None, mark))
            many.append((line, self._text(line)))
        self._output.lines(many)

    def show_run(self, run: Line) -> None:
        """Show that a run begins, unless one of its lines did."""
        if mark := self._mark(run):
            self._output.lines([(None, mark)])

    def show_missed(self, server: str) -> None:
        """Tell that lines of a server are no longer kept, in the place where they would be."""
        self._output.lines([({"missed": server}, f"--- {harmless(server)}: lines are missing here ---")])

    def _mark(self, line: Line) -> str:
        """What stands before the first line of a run; "" before others, and where the run is not known."""
        server, run = line["server"], (line["run"], line["pid"])
        known = self._runs.get(server, run)
        if line["run"] is None or self._runs.get(server) == run:
            return ""
        self._runs[server] = run
        if self._raw or _is_same(run, known):
            return ""
        pid = "" if line["pid"] is None else f" (pid {line['pid']})"
        return f"--- {harmless(server)}: run {line['run']} began{pid} ---"

    def _text(self, line: Line) -> str:
        if self._raw:
            return str(line["text"])
        text = harmless(line["text"])
        if self._with_name:
            server = line["server"]
            text = f"{self._prefixes.get(server) or self._prefix(server)}{text}"
        return f"{line['time'] or _NO_TIME} {text}" if self._with_time else text

    def _prefix(self, server: str) -> str:
        if server not in self._servers:
            self._servers.append(server)
            self._prefixes.clear()  # they may be wider now
        width = min(max(map(len, self._servers)), _WIDEST)
        prefix = f"{harmless(server):<{width}} | "
        if self._in_colour:
            prefix = f"\x1b[{_COLOURS[self._servers.index(server) % len(_COLOURS)]}m{prefix}\x1b[0m"
        self._prefixes[server] = prefix
        return prefix


def _is_same(run: Run, known: Run) -> bool:
    """Whether they are one run; each hostler counts anew, so the number alone does not tell."""
    return run[0] == known[0] and (run[1] == known[1] or None in {run[1], known[1]})


def _takes_colour() -> bool:
    """Whether the output is a terminal, whose user wants colours."""
    wants = not os.environ.get("NO_COLOR") and os.environ.get("TERM", "dumb") != "dumb"
    return wants and sys.stdout is not None and sys.stdout.isatty()
