"""An event loop whose time jumps to the next timer when nothing else is left to do."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hostler.concurrency.threads import THREAD_NAME

T = TypeVar("T")
_BEGINNING = 1000.0  # not 0: a time that is false would hide mistakes, or make some
_MOST_TURNS = 100_000
_REAL_WAIT = 0.001  # for a thread that may just have done its work, and is about to end


class Stalled(RuntimeError):
    """Raised when time cannot go on.

    Either every task waits for another and there is no timer, or they keep each other busy for ever.
    """


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on which `anyio.sleep(3600)` takes no time. It is for fakes: a real child would lag behind.

    Time stands still while hostler does blocking work on a thread of its own.
    """

    def __init__(self) -> None:
        self._now = _BEGINNING
        self._turns = 0
        self._waiting: list[asyncio.Future[None]] = []
        super().__init__(_Idling(self._wait))

    def time(self) -> float:
        """The virtual time in seconds; it has nothing to do with any clock."""
        return self._now

    async def settle(self) -> None:
        """Wait until nothing is left to do at this moment."""
        future = self.create_future()
        self._waiting.append(future)
        await future

    def _wait(self, timeout: float | None) -> float:
        """Nobody has anything to do before `timeout`; how long to wait for real."""
        self._turns += 1

        if self._turns > _MOST_TURNS:
            raise Stalled(f"{_MOST_TURNS} turns of the loop at one moment; these tasks live: {self._names()}")
        if timeout == 0:
            return 0.0
        if any(thread.name == THREAD_NAME for thread in threading.enumerate()):
            return _REAL_WAIT

        if self._waiting:
            self._tell_settled()
        elif timeout is None:
            raise Stalled(f"nothing can happen any more; these tasks wait: {self._names()}")
        else:
            self._now += timeout
            self._turns = 0

        return 0.0

    def _tell_settled(self) -> None:
        waiting, self._waiting = self._waiting, []
        for future in waiting:
            if not future.done():
                future.set_result(None)

    def _names(self) -> str:
        return ", ".join(sorted(task.get_name() for task in asyncio.all_tasks(self))) or "none"


class _Idling(selectors.DefaultSelector):
    """Asks how long to wait, instead of waiting, when nothing is ready."""

    def __init__(self, wait: Callable[[float | None], float]) -> None:
        super().__init__()
        self._wait = wait

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)
        if not ready and (wait := self._wait(timeout)):
            ready = super().select(wait)
        return ready


def run_virtually(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine function to its end on a VirtualLoop of its own; as asyncio.run otherwise."""
    with asyncio.Runner(loop_factory=VirtualLoop) as runner:
        return runner.run(main())


async def settle() -> None:
    """Wait until nothing is left to do at this moment of virtual time. TypeError on another loop."""
    loop = asyncio.get_running_loop()
    if not isinstance(loop, VirtualLoop):
        raise TypeError("there is no settling on a loop whose time is real: use run_virtually")
    await loop.settle()
