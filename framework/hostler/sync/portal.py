"""The way from a program without an event loop to the thread that runs hostler's."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortal

from hostler.concurrency.affinity import refuse_forked
from hostler.errors import ServerError

T = TypeVar("T")


class LoopPortal:
    """The way to the loop's thread, shut when the block has ended."""

    def __init__(self, portal: BlockingPortal) -> None:
        self._portal = portal
        self._pid = os.getpid()
        self._open = True

    def shut(self) -> None:
        """Nothing goes through it any more."""
        self._open = False

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function, or await a coroutine function, over there."""
        if not self._open:
            raise ServerError("the block of hostler.serve has ended", hint="use its servers inside of it")
        refuse_forked(self._pid)
        return self._portal.call(function, *arguments)

    def read(self, thing: object, name: str) -> Any:
        """Read an attribute over there, or here when nothing runs any more."""
        return self.call(getattr, thing, name) if self._open else getattr(thing, name)

    def follow(self, subscribe: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
        """Subscribe at once (not at the first `next`), and take item after item."""
        items = self.call(subscribe)
        return self._take(items)

    def _take(self, items: AsyncIterator[T]) -> Iterator[T]:
        while True:
            try:
                item = self.call(items.__anext__) if self._open else _without_loop(items)
            except StopAsyncIteration:
                return
            except (RuntimeError, CancelledError):
                if self._open:
                    raise
                continue  # it was shut while we waited
            yield item


def _without_loop(items: AsyncIterator[T]) -> T:
    """The next item of a subscription that is closed: it does not wait any more, so it needs no loop."""
    step = items.__anext__()
    assert isinstance(step, Coroutine)
    try:
        step.send(None)
    except StopIteration as result:
        item: T = result.value
        return item
    raise AssertionError("a closed subscription waits")
