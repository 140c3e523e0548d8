"""Calls one async hook in a task of its own, under a deadline, whatever it raises or swallows."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Mapping
from functools import partial
from types import coroutine
from typing import Any, TypeVar, cast

import anyio
from msgspec import Struct, field

from hostler.concurrency.event_loop import loop_time
from hostler.concurrency.flag import Flag
from hostler.model.values import Report
from hostler.plugins.messages import said

SLOW_STEP = 0.1
"""Seconds that a step of a plugin may keep the event loop to itself."""

_GRACE = 1.0
_LATE = 0.2
_SECOND_CHANCE = 1.0
T = TypeVar("T")


class Outcome(Struct, eq=False):
    """The result of a call. `held` is the longest time in seconds that it kept the event loop to itself."""

    value: object = None
    error: BaseException | None = None
    overran: float | None = None
    swallowed: bool = False
    seconds: float = 0.0
    held: float = 0.0
    ended: Flag = field(default_factory=Flag)

    @property
    def reason(self) -> str:
        """Why the call failed, in words; "" if it did not."""
        if self.overran is None:
            trouble = f"raised {said(self.error)}" if self.error is not None else ""
        else:
            trouble = f"took longer than {self.overran:.3g} s"
        if not self.swallowed:
            return trouble
        return f"{trouble or 'was cancelled'} and swallowed its cancellation: it is left running"

    async def contain(self, function: Callable[..., object], arguments: Mapping[str, object]) -> None:
        """Call an async function and keep what it returns or raises."""
        try:
            self.value = await self.timed(function(**arguments))  # type: ignore[arg-type]
        except BaseException as error:  # noqa: BLE001 - SystemExit would end the host's loop, a stray cancellation its task
            self.error = error
        finally:
            self.ended.set()

    async def follow(self, task: asyncio.Task[None], limit: float) -> None:
        """Wait for the task of `contain`; cancel it when it overruns `limit`, or when this is cancelled."""
        started = loop_time()
        try:
            with anyio.move_on_after(limit):
                await self.ended.wait()  # not for the task, whose end is told a turn of the loop later
            if not task.done() and loop_time() > started + limit + _LATE:
                # Others held up the loop meanwhile: the plugin had no time then.
                await asyncio.wait({task}, timeout=min(limit, _SECOND_CHANCE))
            self.overran = None if task.done() else limit
        finally:
            if not task.done():
                task.cancel()
                # Shielded: anyio cancels a scope's task again and again, and the plugin has one more second.
                with anyio.CancelScope(shield=True):
                    await asyncio.wait({task}, timeout=_GRACE)
                self.swallowed = not task.done()
            self.seconds = loop_time() - started

    @coroutine
    def timed(self, call: Awaitable[object]) -> Generator[Any, Any, object]:
        """Drive an awaitable as `await` does, and note how long each of its steps kept the loop to itself."""
        steps = call.__await__()
        step: Callable[[], object] = partial(next, steps)

        while True:
            started = time.monotonic()
            try:
                waiting = step()
            except StopIteration as end:
                return end.value
            finally:
                self.held = max(self.held, time.monotonic() - started)
            try:
                sent = yield waiting
            except BaseException as error:  # noqa: BLE001 - handed on to where it is awaited
                step = partial(steps.throw, error)
            else:
                step = partial(steps.send, sent)


class Caller:
    """Calls async hooks. A call that swallows its cancellation is left behind, never waited for."""

    def __init__(self) -> None:
        # asyncio keeps only weak references to its tasks, of which these are left behind.
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(
        self, function: Callable[..., object], arguments: Mapping[str, object], limit: float, outcome: Outcome
    ) -> None:
        """Call an async function and fill `outcome`, which holds what is known when this is cancelled too.

        `limit` is in seconds; a call that overruns it is cancelled and has one more second to end.
        Nothing that the plugin raises comes out of here; a cancellation of the caller does.
        """
        task = asyncio.create_task(outcome.contain(function, arguments))
        try:
            await outcome.follow(task, max(limit, 0.0))
        finally:
            if not task.done():
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)


class TimedReports(AsyncGenerator[Report, None]):
    """A plugin's stream of reports; `on_held` hears when a step kept the event loop to itself too long."""

    def __init__(self, reports: AsyncGenerator[Report, None], on_held: Callable[[float], None]) -> None:
        self._reports = reports
        self._on_held = on_held

    async def asend(self, value: None) -> Report:
        """Take one step."""
        return await self._step(self._reports.asend(value))

    async def athrow(self, *error: Any) -> Report:
        """Take one step that begins with an error."""
        return await self._step(self._reports.athrow(*error))

    async def aclose(self) -> None:
        """End it."""
        await self._step(self._reports.aclose())

    async def _step(self, step: Awaitable[T]) -> T:
        outcome = Outcome()
        try:
            return cast("T", await outcome.timed(step))
        finally:
            if outcome.held > SLOW_STEP:
                self._on_held(outcome.held)
