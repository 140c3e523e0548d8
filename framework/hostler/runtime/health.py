"""The health plugins of one run: each runs in its own task, is counted, and restarted when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import field, replace
from datetime import UTC, datetime
from typing import cast

from msgspec import Struct

from hostler.concurrency.event_loop import loop_time
from hostler.concurrency.tasks import TaskSet
from hostler.model.choices import HealthRule
from hostler.model.dataclass import dataclass
from hostler.model.values import Healthy, Report, Unhealthy
from hostler.plugins.validation import report_fault

_FIRST_RETRY, _LONGEST_RETRY = 0.5, 30.0
_MOST_REPORTS, _WINDOW = 100, 1.0  # more reports in so many seconds are a flood: they wait for their turn

Opener = Callable[[], AsyncGenerator[Report, None]]


@dataclass(slots=True)
class PluginHealth:
    """What is known through one plugin.

    `last` is None as long as nothing is known, `reports` counts its reports, `failures` the unhealthy ones in
    a row; `fault` is how the plugin itself failed, `time` when it reported or failed last. What is known is
    `worth_reporting` when it is a change, or a failure.
    """

    name: str
    last: Report | None = None
    reports: int = 0
    failures: int = 0
    fault: str = ""
    worth_reporting: bool = False
    time: datetime | None = None

    def note(self, report: Report) -> None:
        """Take a report."""
        self.worth_reporting = isinstance(report, Unhealthy) or not isinstance(self.last, Healthy)
        self.reports += 1
        self.failures = self.failures + 1 if isinstance(report, Unhealthy) else 0
        self.last, self.fault, self.time = report, "", datetime.now(UTC)

    def note_fault(self, fault: str) -> None:
        """Note that the plugin itself failed: from now on nothing is known."""
        self.last, self.fault, self.worth_reporting = None, fault, True
        self.time = datetime.now(UTC)

    @property
    def healthy(self) -> bool | None:
        """Whether its last report says so; None when nothing is known."""
        return None if self.last is None else isinstance(self.last, Healthy)

    @property
    def latency(self) -> float | None:
        """How many seconds the answer took, where that is known."""
        return None if self.last is None else self.last.latency

    @property
    def reason(self) -> str:
        """Why it is not healthy: its last report says so, or it failed itself."""
        return self.last.reason if isinstance(self.last, Unhealthy) else self.fault

    @property
    def complaint(self) -> str:
        """The reason, and how often in a row it was reported."""
        return self.reason + (f" ({self.failures} times in a row)" if self.failures > 1 else "")

    @property
    def summary(self) -> str:
        """What is known, in a few words."""
        if self.fault:
            return f"failed itself, so the health is unknown: {self.fault}"
        if self.last is None:
            return "no report yet"
        return "healthy" if isinstance(self.last, Healthy) else self.last.reason

    def past(self, limit: int) -> bool:
        """Whether it failed too often in a row; `limit` counts where its last report names none."""
        if not isinstance(self.last, Unhealthy):
            return False
        return self.failures >= (limit if self.last.limit is None else self.last.limit)


class HealthChanged(Struct, frozen=True):
    """A health plugin reported, or failed itself; `monitor.take` believes it in its turn."""

    monitor: HealthMonitor
    plugin: PluginHealth


@dataclass(slots=True, eq=False, repr=False)
class HealthMonitor:
    """Runs every health plugin of one run.

    `rule` says how many of them have to be healthy, `limit` how many failures in a row of one are too
    many where it names no limit of its own. `on_change` is called for each report and each plugin's fault,
    with a copy of what is known then. It counts once it is handed to `take`: `plugins` is what was taken.
    `live` is what each of them says at this moment, also what is no change.
    `on_flood` is called with the name of a plugin that has to be slowed down, `on_report` with each report.
    """

    openers: dict[str, Opener]
    on_change: Callable[[HealthChanged], None]
    on_flood: Callable[[str], None]
    on_report: Callable[[str, Report], None]
    rule: HealthRule = HealthRule.ALL
    limit: int = 3
    plugins: dict[str, PluginHealth] = field(init=False)
    live: dict[str, PluginHealth] = field(init=False, default_factory=dict)
    _tasks: TaskSet = field(init=False, default_factory=TaskSet)
    _closing: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.plugins = {name: PluginHealth(name) for name in self.openers}

    def take(self, plugin: PluginHealth) -> None:
        """Count this from now on."""
        self.plugins[plugin.name] = plugin

    @property
    def healthy(self) -> bool:
        """Whether as many plugins as the rule asks for say that it works; True where there is none."""
        if self.rule is HealthRule.ALL:
            return all(isinstance(plugin.last, Healthy) for plugin in self.plugins.values())
        votes = [isinstance(plugin.last, Healthy) for plugin in self._voters()]
        return any(votes) or not votes

    @property
    def lost(self) -> tuple[PluginHealth, ...]:
        """The plugins because of which a server that was ready is not healthy any more; none while it is.

        Unknown is not unhealthy: where any is enough, one that has reported before and failed itself
        since keeps the server from being lost.
        """
        if self.rule is HealthRule.ALL:
            return tuple(plugin for plugin in self.plugins.values() if plugin.past(self.limit))
        reporting = tuple(plugin for plugin in self._voters() if plugin.reports)
        return reporting if all(plugin.past(self.limit) for plugin in reporting) else ()

    def _voters(self) -> list[PluginHealth]:
        """Those that count where any is enough: one that merely watches a limit does not."""
        return [
            one for one in self.plugins.values() if not (isinstance(one.last, Healthy) and one.last.neutral)
        ]

    @property
    def missing(self) -> list[PluginHealth]:
        """The plugins that do not report the server as healthy."""
        return [plugin for plugin in self.plugins.values() if not isinstance(plugin.last, Healthy)]

    @property
    def complaint(self) -> Unhealthy | None:
        """A last report that is unhealthy; None without one."""
        return next((p.last for p in self.plugins.values() if isinstance(p.last, Unhealthy)), None)

    def start(self) -> None:
        """Start every plugin's generator in a task of its own."""
        for name, opener in self.openers.items():
            self._tasks.start(self._keep(name, opener), name)

    async def close(self) -> list[str]:
        """Cancel and close all generators; the names of those that did not end within 2 s."""
        self._closing = True
        return await self._tasks.close()

    def cancel(self) -> None:
        """Cancel all generators without waiting: for when there is no time left."""
        self._closing = True
        self._tasks.cancel()

    async def _keep(self, name: str, opener: Opener) -> None:
        plugin, delay = PluginHealth(name), _FIRST_RETRY
        self.live[name] = plugin

        while True:
            fault = await self._follow(plugin, opener)
            if not fault:
                return
            plugin.note_fault(fault)
            # A copy: it may wait for its turn while this one goes on.
            self.on_change(HealthChanged(self, replace(plugin)))
            # A plugin that fails at once would keep the loop busy without a pause.
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_RETRY)

    async def _follow(self, plugin: PluginHealth, opener: Opener) -> str:
        reports = opener()
        count, since = 0, loop_time()
        try:
            async for report in reports:
                if self._closing:  # it has swallowed its cancellation
                    return ""
                count += 1
                self._note(plugin, report)
                if count % _MOST_REPORTS == 0:
                    since = await self._slow_down(plugin.name, since)
        except asyncio.CancelledError:
            # Without a request to cancel this task the plugin raised it by itself: a fault, not the end.
            if self._closing or _is_cancelled():
                raise
            return "CancelledError, although it was not cancelled"
        except BaseException as error:  # noqa: BLE001 - a plugin's failure, SystemExit included, is "unknown"
            return f"{type(error).__name__}: {error}"
        finally:
            with suppress(Exception):  # it may refuse to end, or fail when it should
                await reports.aclose()

        return "" if count else "it returned without any report"

    async def _slow_down(self, name: str, since: float) -> float:
        """Let others run; a plugin that has used up the window waits for the rest of it."""
        rest = since + _WINDOW - loop_time()
        if rest > 0:
            self.on_flood(name)
        await asyncio.sleep(max(rest, 0))
        return loop_time()

    def _note(self, plugin: PluginHealth, report: object) -> None:
        fault = report_fault(report)
        if fault:
            raise TypeError(fault)
        plugin.note(cast("Report", report))
        self.on_report(plugin.name, cast("Report", report))
        if plugin.worth_reporting:
            self.on_change(HealthChanged(self, replace(plugin)))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
