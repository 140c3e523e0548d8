"""The stream of reports of a health plugin: that it reports, can be cancelled as it waits, and lets go."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from hostler.model.values import Report
from hostler.plugins.hook_calls import TimedReports
from hostler.plugins.messages import said
from hostler.plugins.validation import report_fault
from hostler.testing.conformance.findings import Findings

_FIRST = 2.0  # a plugin that has nothing to say by then waits, which is its right
_CLOSE = 2.0
_BLOCKED = 1.0
_SPIN = 50
_QUIET = 0.05
_SCOPES = "leave timeouts, scopes and task groups before each yield"


class Stream:
    """One stream, watched to an end of our choice."""

    def __init__(self, reports: AsyncGenerator[Report, None], place: str, findings: Findings) -> None:
        self._held = 0.0
        self._reports = TimedReports(reports, self._note_held)
        self._place = place
        self._findings = findings

    async def watch(self) -> None:
        """Take reports as long as they come at once, cancel the wait for the next, and close it."""
        for number in range(_SPIN):
            step = await self._step(_FIRST if number == 0 else _QUIET)
            if not step.done():
                if not await self._cancel(step):
                    return  # it goes on: what else is to be seen of it would follow from that
                break
            if not self._take(step, number):
                break
        else:
            self._broken(
                f"yields {_SPIN} reports without waiting",
                "sleep between two attempts: yield, then await anyio.sleep(...)",
            )

        await self._close()

        if self._held > _BLOCKED:
            self._broken(
                f"keeps the event loop to itself for {self._held:.1f} s",
                "await instead, and import what is heavy with launch.warm_up(...) in pre_spawn",
            )

    async def _next(self) -> Report:
        return await anext(self._reports)

    async def _step(self, seconds: float) -> asyncio.Task[Report]:
        task = asyncio.create_task(self._next())
        await asyncio.wait({task}, timeout=seconds)
        return task

    def _take(self, step: asyncio.Task[Report], number: int) -> bool:
        """Judge a step that is done; whether another may follow."""
        error = asyncio.CancelledError() if step.cancelled() else step.exception()
        if isinstance(error, StopAsyncIteration):
            if number == 0:
                self._broken("ends without any report", "yield Healthy() or Unhealthy(...) before it returns")
            return False
        if error is not None:
            what = f"raises {said(error)} where nobody listens"
            self._broken(what, f'yield Unhealthy("what happened") for each failed attempt, and {_SCOPES}')
            return False
        if fault := report_fault(step.result()):
            self._broken(fault.replace("it yielded", "yields"), "yield Healthy() or Unhealthy(...)")
            return False

        return True

    async def _cancel(self, step: asyncio.Task[Report]) -> bool:
        """Cancel a step that waits; whether it has ended then."""
        step.cancel()
        await asyncio.wait({step}, timeout=_CLOSE)

        if not step.done():
            self._broken(
                "swallows its cancellation and goes on", "let asyncio.CancelledError through: no bare except"
            )
            step.cancel()  # the end of the loop would, and it may hear of it then
            return False

        if not step.cancelled() and step.exception() is None:
            self._broken(
                f"answers its cancellation with {step.result()!r}", "let asyncio.CancelledError through"
            )

        return True

    async def _close(self) -> None:
        task = asyncio.create_task(self._reports.aclose())
        await asyncio.wait({task}, timeout=_CLOSE)

        if not task.done():
            task.cancel()
            self._broken(
                f"takes longer than {_CLOSE:g} s to close", "give what stands in `finally` a timeout"
            )
        elif task.exception() is not None:
            self._broken(
                f"raises {said(task.exception() or RuntimeError())} when it is closed",
                f"{_SCOPES}, and yield nothing in `finally`",
            )

    def _note_held(self, seconds: float) -> None:
        self._held = max(self._held, seconds)

    def _broken(self, what: str, mend: str) -> None:
        self._findings.broken(self._place, what, mend)
