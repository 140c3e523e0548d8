"""Watching over the health plugins of one run: each in its own task, counted, restarted when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace

from hostler.background import Background
from hostler.model import Healthy, Report, Unhealthy

_FIRST_RETRY, _LONGEST_RETRY = 0.5, 30.0
_MOST_REPORTS, _WINDOW = 100, 1.0  # more reports in so many seconds are a flood: they wait for their turn

Opener = Callable[[], AsyncGenerator[Report, None]]


@dataclass(slots=True)
class PluginHealth:
    """What is known through one plugin.

    `last` is None as long as nothing is known, `failures` counts those in a row, `fault` tells how
    the plugin itself failed. `told` says whether the last word was worth telling: a change, or a failure.
    """

    name: str
    last: Report | None = None
    failures: int = 0
    fault: str = ""
    told: bool = False

    def note(self, report: Report) -> None:
        """Take a report."""
        self.told = isinstance(report, Unhealthy) or not isinstance(self.last, Healthy)
        self.failures = self.failures + 1 if isinstance(report, Unhealthy) else 0
        self.last, self.fault = report, ""

    def note_fault(self, fault: str) -> None:
        """Take note that the plugin itself failed: from now on nothing is known."""
        self.last, self.fault, self.told = None, fault, True

    @property
    def reason(self) -> str:
        """The last word of complaint, of the plugin or about it."""
        return self.last.reason if isinstance(self.last, Unhealthy) else self.fault


@dataclass(slots=True)
class HealthWatch:
    """Runs every health plugin of one run.

    `on_news` is called for each report and each plugin's fault, with a copy of what is known then;
    whoever gets it hands it to `take` when its turn has come. `plugins` is what has been taken.
    `on_flood` is called with the name of a plugin that has to be slowed down.
    """

    openers: dict[str, Opener]
    on_news: Callable[[PluginHealth], None]
    on_flood: Callable[[str], None]
    plugins: dict[str, PluginHealth] = field(init=False)
    _tasks: Background = field(init=False, default_factory=Background)
    _closing: bool = field(init=False, default=False)

    def __post_init__(self) -> None:
        self.plugins = {name: PluginHealth(name) for name in self.openers}

    def take(self, news: PluginHealth) -> None:
        """Believe this from now on."""
        self.plugins[news.name] = news

    @property
    def healthy(self) -> bool:
        """Whether every plugin's last word is that the server works; True where there is none."""
        return all(isinstance(plugin.last, Healthy) for plugin in self.plugins.values())

    @property
    def unknown(self) -> list[PluginHealth]:
        """The plugins that failed themselves, so that nothing is known through them."""
        return [plugin for plugin in self.plugins.values() if plugin.fault]

    @property
    def complaint(self) -> Unhealthy | None:
        """The last report of failure that still stands."""
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

        while True:
            fault = await self._follow(plugin, opener)

            if not fault:
                return

            plugin.note_fault(fault)
            self.on_news(replace(plugin))
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_RETRY)

    async def _follow(self, plugin: PluginHealth, opener: Opener) -> str:
        reports = opener()
        heard, since = 0, asyncio.get_running_loop().time()

        try:
            async for report in reports:
                if self._closing:  # it has swallowed its cancellation
                    return ""

                heard += 1
                self._note(plugin, report)

                if heard % _MOST_REPORTS == 0:
                    since = await self._slow_down(plugin.name, since)
        except asyncio.CancelledError:
            if self._closing or _is_cancelled():
                raise

            return "CancelledError: nobody had cancelled it"
        except BaseException as error:  # noqa: BLE001 - a plugin's failure, SystemExit included, is "unknown"
            return f"{type(error).__name__}: {error}"
        finally:
            with suppress(Exception):  # it may refuse to end, or fail when it should
                await reports.aclose()

        return "" if heard else "it returned without any report"

    async def _slow_down(self, name: str, since: float) -> float:
        """Let others run; the rest of the window is waited out by who has used it up."""
        clock = asyncio.get_running_loop().time
        rest = since + _WINDOW - clock()

        if rest > 0:
            self.on_flood(name)

        await asyncio.sleep(max(rest, 0))
        return clock()

    def _note(self, plugin: PluginHealth, report: object) -> None:
        if not isinstance(report, Healthy | Unhealthy):
            raise TypeError(f"it yielded {type(report).__name__}, not Healthy or Unhealthy")

        plugin.note(report)

        if plugin.told:
            self.on_news(replace(plugin))


def _is_cancelled() -> bool:
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0
