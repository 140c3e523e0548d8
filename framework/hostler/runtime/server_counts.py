"""What is counted of one server over all its runs, for those who look now and then."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from hostler.events.counts import HealthCounts, ServerCounts
from hostler.model.values import ExitCause, Report, Unhealthy
from hostler.plugins.hook_stats import HookAccounting, HookStats
from hostler.process.output.output_count import OutputCount

_BOUNDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, math.inf)


class ServerCounting:
    """Counts for one server. Used on the loop's thread, but `output`."""

    def __init__(self) -> None:
        self.output = OutputCount()
        self._crashes: Counter[ExitCause] = Counter()
        self._health: dict[str, HealthCounts] = {}
        self._former: Mapping[tuple[str, str], HookStats] = {}
        self._hooks: HookAccounting | None = None

    def note_crash(self, cause: ExitCause) -> None:
        """Count an unexpected exit."""
        self._crashes[cause] += 1

    def note_report(self, plugin: str, report: Report) -> None:
        """Count a report of a health plugin."""
        old = self._health.get(plugin, HealthCounts())
        latencies, seconds = old.latencies, old.seconds
        if report.latency is not None and 0 <= report.latency < math.inf:  # else no sum could be trusted
            found = dict(latencies or dict.fromkeys(_BOUNDS, 0))
            found[_BOUNDS[bisect_left(_BOUNDS, report.latency)]] += 1
            latencies, seconds = MappingProxyType(found), seconds + report.latency
        failures = old.failures + isinstance(report, Unhealthy)
        self._health[plugin] = HealthCounts(old.reports + 1, failures, latencies, seconds)

    def go_on_with(self, hooks: HookAccounting) -> None:
        """Count what these plugins do from now on, which were built anew."""
        self._former, self._hooks = self.hooks, hooks

    @property
    def hooks(self) -> Mapping[tuple[str, str], HookStats]:
        """What all plugins have done that were built for it."""
        return self._former if self._hooks is None else added(self._former, self._hooks.stats)

    def snapshot(self, dropped_events: int) -> ServerCounts:
        """All that was counted until now."""
        return ServerCounts(
            dict(self._crashes),
            dict(self._health),
            dict(self.output.read),
            self.output.lost,
            dropped_events,
        )


def added(
    some: Mapping[tuple[str, str], HookStats], more: Mapping[tuple[str, str], HookStats]
) -> dict[tuple[str, str], HookStats]:
    """The sums of both; `in_a_row` and `disabled` as they are in `more`."""
    found = dict(some)
    for key, one in more.items():
        old = found.get(key, HookStats())
        found[key] = HookStats(
            old.calls + one.calls,
            old.failures + one.failures,
            one.in_a_row,
            old.seconds + one.seconds,
            one.disabled,
        )
    return found
