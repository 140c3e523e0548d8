"""Watching over the health plugins of one run: each in its own task, counted, restarted when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass, field

from hostler.background import Background
from hostler.model import Healthy, Report, Unhealthy

_FIRST_RETRY, _LONGEST_RETRY = 0.5, 30.0

Opener = Callable[[], AsyncGenerator[Report, None]]


@dataclass(slots=True)
class PluginHealth:
    """What is known through one plugin: its last report (None: unknown) and its failures in a row."""

    name: str
    last: Report | None = None
    failures: int = 0
    fault: str = ""


@dataclass(slots=True)
class HealthWatch:
    """Runs every health plugin of one run.

    `on_report(health)` is called for each report; `on_fault(name, exception)` when a plugin's
    generator raised or ended without a word; both on the loop's thread.
    """

    openers: dict[str, Opener]
    on_report: Callable[[PluginHealth], None]
    on_fault: Callable[[str, str], None]
    plugins: dict[str, PluginHealth] = field(init=False)
    _tasks: Background = field(init=False, default_factory=Background)

    def __post_init__(self) -> None:
        self.plugins = {name: PluginHealth(name) for name in self.openers}

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
        return await self._tasks.close()

    async def _keep(self, name: str, opener: Opener) -> None:
        delay = _FIRST_RETRY

        while True:
            fault = await self._follow(self.plugins[name], opener)

            if not fault:
                return

            self.plugins[name].last, self.plugins[name].fault = None, fault
            self.on_fault(name, fault)
            await asyncio.sleep(delay)
            delay = min(delay * 2, _LONGEST_RETRY)

    async def _follow(self, plugin: PluginHealth, opener: Opener) -> str:
        reports = opener()
        heard = 0

        try:
            async for report in reports:
                heard += 1
                self._note(plugin, report)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - a plugin's failure, SystemExit included, is "unknown"
            return f"{type(error).__name__}: {error}"
        finally:
            await reports.aclose()

        return "" if heard else "it returned without any report"

    def _note(self, plugin: PluginHealth, report: object) -> None:
        if not isinstance(report, Healthy | Unhealthy):
            raise TypeError(f"it yielded {type(report).__name__}, not Healthy or Unhealthy")

        plugin.last, plugin.fault = report, ""
        plugin.failures = plugin.failures + 1 if isinstance(report, Unhealthy) else 0
        self.on_report(plugin)
