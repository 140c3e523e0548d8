"""A flag that tasks wait for: hundreds of servers have nine each, and most are waited for by nobody."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Flag:
    """As asyncio.Event, which takes 800 bytes for the queue of those that wait, before anybody does.

    It may be made before there is an event loop. It is waited for by a few at a time.
    """

    __slots__ = ("_is_set", "_waiting")

    def __init__(self) -> None:
        self._is_set = False
        self._waiting: tuple[asyncio.Future[None] | Callable[[], object], ...] = ()

    def is_set(self) -> bool:
        """Whether it has come."""
        return self._is_set

    def set(self) -> None:
        """Let all go on that wait, and those that come."""
        self._is_set = True
        waiting, self._waiting = self._waiting, ()
        for one in waiting:
            if not isinstance(one, asyncio.Future):
                one()
            elif not one.done():
                one.set_result(None)

    def clear(self) -> None:
        """Have those that come wait again."""
        self._is_set = False

    def notify(self, function: Callable[[], object]) -> Callable[[], None]:
        """Have `function` called by `set` from now on; the result ends that."""

        def end() -> None:
            self._waiting = tuple(one for one in self._waiting if one is not function)

        self._waiting = (*self._waiting, function)
        return end

    async def wait(self) -> None:
        """Wait until it is set; return at once when it is."""
        if self._is_set:
            return
        future = asyncio.get_running_loop().create_future()
        self._waiting = (*self._waiting, future)
        try:
            await future
        finally:
            self._waiting = tuple(one for one in self._waiting if one is not future)
