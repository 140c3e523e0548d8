"""Polls a server: what all health plugins have in common that receive no events."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncGenerator, Awaitable, Callable
from dataclasses import replace
from typing import TYPE_CHECKING

from hostler.concurrency.event_loop import loop_time
from hostler.model.dataclass import dataclass
from hostler.model.units import Duration, option
from hostler.model.values import Report, Unhealthy

if TYPE_CHECKING:
    from hostler.hooks import ServerView

_QUICKEST = 0.05  # the first wait while a server starts
_LONGEST_RETRY_AFTER = 30.0
_JITTER = 0.1
_LATE = 0.2


@dataclass(eq=False, kw_only=True)
class PollOptions:
    """The four options of a plugin that polls its server: inherit them, and call `self.poll` with a probe.

    A plugin with a `__post_init__` of its own calls `super().__post_init__()`, which refuses 0 and less.
    """

    interval: Duration = option(
        Duration(10), "Time between two checks once the server is ready; before that, shorter"
    )
    timeout: Duration = option(
        Duration(5),
        "Time limit for one check; until the server is ready, at most a third of startup_timeout",
    )
    successes: int = option(1, "Number of good checks in a row that make the server healthy")
    failures: int | None = option(
        None, "Number of bad checks in a row that are a crash; default: the server's max_connection_failures"
    )

    def __post_init__(self) -> None:
        for name in ("interval", "timeout", "successes", "failures"):
            value = getattr(self, name)
            if value is not None and value <= 0:
                allowed = "1 or more" if name in {"successes", "failures"} else "longer than 0"
                raise ValueError(f"{name}: must be {allowed}")

    def poll(
        self, probe: Callable[[], Awaitable[Report]], server: ServerView
    ) -> AsyncGenerator[Report, None]:
        """Ask `probe` for reports without end, as `hostler.poll` does, with these options."""
        return poll(
            probe,
            interval=self.interval,
            timeout=self.timeout,
            # A server that hangs in its start leaves time for three attempts.
            start_timeout=server.spec.startup_timeout / 3,
            successes=self.successes,
            failures=self.failures,
        )


async def poll(
    probe: Callable[[], Awaitable[Report]],
    *,
    interval: float,
    timeout: float,
    start_timeout: float | None = None,
    successes: int = 1,
    failures: int | None = None,
) -> AsyncGenerator[Report, None]:
    """Ask `probe` for reports without end: the body of a `health_check` that receives no events.

    The first probe comes at once. Until the first Healthy the waits grow from 50 ms to `interval`, after
    it they are `interval`, a tenth more or less; longer, up to 30 s, where an Unhealthy has `retry_after`.
    A probe has `timeout`, and `start_timeout` until the first Healthy; one that overruns it is cancelled
    and is Unhealthy. All times are in seconds. Each report gets the `latency` of its
    probe, unless it has one.

    A Healthy is passed on after `successes` of them in a row, an Unhealthy always, with `failures` as its
    limit where it has none. What a probe raises comes out.
    """
    patience = timeout if start_timeout is None else min(start_timeout, timeout)
    wait, good, ready = _QUICKEST, 0, False

    while True:
        report = await _ask(probe, timeout if ready else patience)
        if isinstance(report, Unhealthy):
            good = 0
            yield report if report.limit is not None else replace(report, limit=failures)
        else:
            good += 1
            if good >= successes:
                ready = True
                yield report
        await asyncio.sleep(max(_jittered(interval) if ready else min(wait, interval), _required(report)))
        wait *= 2


async def _ask(probe: Callable[[], Awaitable[Report]], timeout: float) -> Report:
    """Make one probe; a second one where the program held up the loop, so that no answer could be seen."""

    for _ in range(2):
        ends = loop_time() + timeout
        try:
            async with asyncio.timeout(timeout) as scope:
                report = await probe()
                took = round(loop_time() - ends + timeout, 6)
                return report if report.latency is not None else replace(report, latency=took)
        except TimeoutError:
            if not scope.expired():
                raise
            if loop_time() <= ends + _LATE:
                break

    return Unhealthy(f"no answer within {timeout:g} s")


def _required(report: Report) -> float:
    """The wait that the server asked for."""
    required = report.retry_after if isinstance(report, Unhealthy) else None
    return min(required or 0.0, _LONGEST_RETRY_AFTER)


def _jittered(interval: float) -> float:
    return interval * random.uniform(1 - _JITTER, 1 + _JITTER)  # noqa: S311 - so that many do not ask at once
