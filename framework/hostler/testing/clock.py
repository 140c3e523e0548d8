"""An event loop whose time jumps to the next timer when nothing else is left to do."""

from __future__ import annotations

import asyncio
import selectors
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from hostler.aside import THREAD

T = TypeVar("T")
_BEGINNING = 1000.0  # not 0: a time that is false would hide mistakes, or make some
_REAL_WAIT = 0.001  # for a thread that may just have done its work, and is about to end


class Stalled(RuntimeError):
    """Raised when nothing can happen any more: every task waits for another, and there is no timer."""


class VirtualLoop(asyncio.SelectorEventLoop):
    """A loop on which `anyio.sleep(3600)` takes no time. It is for fakes: a real child would lag behind.

    Time stands still while hostler does blocking work on a thread of its own.
    """

    def __init__(self) -> None:
        self._now = _BEGINNING
        self._waiting: list[asyncio.Future[None]] = []
        super().__init__(_Idling(self._idle))

    def time(self) -> float:
        """The virtual time in seconds; it has nothing to do with any clock."""
        return self._now

    async def settle(self) -> None:
        """Wait until nothing is left to do at this moment."""
        future = self.create_future()
        self._waiting.append(future)
        await future

    def _idle(self, timeout: float | None) -> float:
        """Nothing is ready, and the next timer is due in `timeout`; how long to wait for real."""
        if any(thread.name == THREAD for thread in threading.enumerate()):
            return _REAL_WAIT

        if self._waiting:
            waiting, self._waiting = self._waiting, []

            for future in waiting:
                if not future.done():
                    future.set_result(None)

        elif timeout is None:
            names = sorted(task.get_name() for task in asyncio.all_tasks(self))
            raise Stalled(f"nothing can happen any more; these tasks wait: {', '.join(names) or 'none'}")
        else:
            self._now += timeout

        return 0.0


class _Idling(selectors.DefaultSelector):
    """Asks what to do instead of waiting."""

    def __init__(self, idle: Callable[[float | None], float]) -> None:
        super().__init__()
        self._idle = idle

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        ready = super().select(0)

        if not ready and timeout != 0 and (wait := self._idle(timeout)):
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
