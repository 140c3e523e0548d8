"""log-ready: a server is ready when its output says so."""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from dataclasses import dataclass, field
from typing import Literal

from hostler import (
    Healthy,
    InvalidConfiguration,
    Launch,
    Line,
    OutputMode,
    Report,
    ServerSpec,
    ServerView,
    Unhealthy,
    hookimpl,
    option,
)

from hostler_plugins._option_checks import check_pattern, check_positive

_COLOUR = re.compile(r"\x1b\[[0-9;:?]*[ -/]*[@-~]")  # ECMA-48: CSI, parameters, intermediates, final
_SHOWN = 300
_MOST = 100


@dataclass(eq=False)
class LogReady:
    """Reads the output: a line that matches `pattern` means ready, one that matches `failure` the opposite.

    Every complete line of the run is read, from the first one, without colour codes and cut at 8 KiB.
    Without `failure`, reading ends once the server is ready. Patterns run on hostler's event loop and
    cannot be interrupted, so avoid nested repeats like `(a+)+`.
    """

    pattern: str = option(..., "Regular expression of the line that means ready")
    stream: Literal["any", "stdout", "stderr"] = option("any", "The stream to read")
    failure: str | None = option(None, "Regular expression of lines that mean that the server does not work")
    on_failure: Literal["count", "restart", "give-up"] = option(
        "count", "What such a line does: it counts as a failure, ends the run, or ends it for good"
    )
    failures: int | None = option(
        None, "Number of failures in a row that are a crash; default: the server's max_connection_failures"
    )
    _line_reports: _LineReports | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.pattern:
            raise ValueError("pattern: an empty pattern is found in every line")
        check_pattern(self, "pattern", "failure")
        check_positive(self, "failures")

    def check(self, spec: ServerSpec, launch: Launch) -> Iterator[str]:
        """For `hostler check`: whether there is anything to read."""
        modes = {"stdout": launch.stdout, "stderr": launch.stderr}
        wanted = tuple(modes) if self.stream == "any" else (self.stream,)
        if all(modes[name] is not OutputMode.CAPTURE for name in wanted):
            yield f"log-ready cannot read {' or '.join(wanted)}: it is not captured"

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Follow the output from its first line on."""
        for wrong in self.check(server.spec, launch):
            raise InvalidConfiguration(wrong, hint='set stdout = "capture", or disable log-ready')
        self._line_reports = line_reports = _LineReports()
        launch.follow(lambda line: self._read_line(line, line_reports))

    @hookimpl
    async def health_check(self, server: ServerView) -> AsyncGenerator[Report, None]:
        """Report what the lines say."""
        line_reports = self._line_reports
        assert line_reports is not None

        if line_reports.last is None:
            yield Unhealthy(f"no line that matches {self.pattern!r} has come yet", limit=1)
        elif not line_reports.reports:
            yield line_reports.last  # this is a second check of the same run

        while True:
            while line_reports.reports:
                yield line_reports.reports.popleft()
            if self._is_done(line_reports):
                return
            await line_reports.wait()

    def _read_line(self, line: Line, line_reports: _LineReports) -> bool:
        """Whether another line is wanted."""
        if self.stream in {"any", line.stream}:
            text = _COLOUR.sub("", line.text)
            report = self._read(text)
            if report is not None:
                line_reports.add(report)
        return not self._is_done(line_reports)

    def _read(self, text: str) -> Report | None:
        if self.failure is not None and re.search(self.failure, text):
            return Unhealthy(
                text.strip()[:_SHOWN],
                fatal=self.on_failure == "restart",
                permanent=self.on_failure == "give-up",
                limit=self.failures,
            )
        return Healthy({"line": text.strip()[:_SHOWN]}) if re.search(self.pattern, text) else None

    def _is_done(self, line_reports: _LineReports) -> bool:
        return self.failure is None and line_reports.last is not None


@dataclass(slots=True)
class _LineReports:
    """Reports made of the lines of one run, until the health check takes them."""

    last: Report | None = None
    # Bounded: a server may repeat its line for ever while nobody takes the reports.
    reports: deque[Report] = field(default_factory=lambda: deque(maxlen=_MOST))
    _news: asyncio.Event = field(default_factory=asyncio.Event)

    def add(self, report: Report) -> None:
        """Take what a line says."""
        self.last = report
        self.reports.append(report)
        self._news.set()

    async def wait(self) -> None:
        """Wait for a line that says something."""
        await self._news.wait()
        self._news.clear()
