"""The thread that runs hostler's event loop for a program without one, and the way to it."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from concurrent.futures import CancelledError, Future
from contextlib import suppress
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortal

from hostler.errors import ServerError
from hostler.process.affinity import refuse_forked
from hostler.supervisor.supervisor import Supervisor

T = TypeVar("T")
# On top of the time that its servers may take to stop.
_SECONDS_AT_EXIT = 15.0


class LoopPortal:
    """Keeps a supervisor up on a thread of its own, from `enter` to `close`, and calls functions there.

    The thread is a daemon, ended at exit.
    """

    def __init__(self, make: Callable[[], Supervisor]) -> None:
        self._make = make
        self._pid = os.getpid()
        self._entered: Future[Supervisor] = Future()
        self._failure: BaseException | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        # It is there only while calls are accepted.
        self._portal: BlockingPortal | None = None
        self._closing = asyncio.Event()
        self._cancels_calls = False
        # A daemon: a program that forgets to leave its block must be able to end.
        self._thread = threading.Thread(target=self._run, name="hostler", daemon=True)

    # -- on other threads ---------------------------------------------------------------------

    def enter(self) -> Supervisor:
        """Start the thread, make and enter the supervisor there; raises what that raises."""
        self._thread.start()
        try:
            supervisor = self._entered.result()
        except BaseException:
            self.drop()
            raise
        atexit.register(self._close_at_exit)
        return supervisor

    def close(self, *, cancel_calls: bool) -> None:
        """Stop all servers and wait for it; `cancel_calls` ends the calls of other threads that still wait.

        Raises what Supervisor.close raises. In a forked child, and on its own thread, nobody is waited for.
        """
        self._ask_to_close(cancel_calls=cancel_calls)
        if self._is_elsewhere():
            return

        try:
            self._thread.join()
        except BaseException:
            # The first Ctrl-C must not cut the clean-up short.
            self._thread.join()
            raise

        if self._failure is not None:
            raise self._failure

    def drop(self) -> None:
        """Have it end, without waiting: called by the garbage collector, on any thread."""
        self._ask_to_close(cancel_calls=True)

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function, or await a coroutine function, over there."""
        portal = self._portal
        if portal is None:
            raise ServerError("the block of hostler.serve has ended", hint="use its servers inside of it")
        refuse_forked(self._pid)
        return portal.call(function, *arguments)

    def read(self, thing: object, name: str) -> Any:
        """Read an attribute over there, or here when nothing runs any more."""
        return self.call(getattr, thing, name) if self._portal else getattr(thing, name)

    def follow(self, subscribe: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
        """Subscribe at once (not at the first `next`), and take item after item."""
        return self._take(self.call(subscribe))

    def _take(self, items: AsyncIterator[T]) -> Iterator[T]:
        while True:
            try:
                item = self.call(items.__anext__) if self._portal else _without_loop(items)
            except StopAsyncIteration:
                return
            except (RuntimeError, CancelledError):
                if self._portal:
                    raise
                continue  # it was closed while we waited
            yield item

    def _is_elsewhere(self) -> bool:
        return os.getpid() != self._pid or threading.current_thread() is self._thread

    def _ask_to_close(self, *, cancel_calls: bool) -> None:
        if self._loop is not None and os.getpid() == self._pid:
            # The loop may be closed already.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._note_closing, cancel_calls)

    def _close_at_exit(self) -> None:
        if not self._is_elsewhere():
            self.drop()
            servers = self._entered.result().servers.values()
            self._thread.join(_SECONDS_AT_EXIT + sum(one.spec.force_kill_timeout for one in servers))

    # -- on its thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._fail(error)
        finally:
            atexit.unregister(self._close_at_exit)

    def _fail(self, error: BaseException) -> None:
        if self._entered.done():
            self._failure = error
        else:
            self._entered.set_exception(error)

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with BlockingPortal() as portal:
            try:
                await self._supervise(portal)
            except BaseException as error:  # noqa: BLE001 - from in here it would come as a group
                self._fail(error)
            await portal.stop(cancel_remaining=self._cancels_calls)

    async def _supervise(self, portal: BlockingPortal) -> None:
        supervisor = self._make()
        try:
            async with supervisor:
                self._portal = portal
                self._entered.set_result(supervisor)
                await self._closing.wait()
        finally:
            self._portal = None

    def _note_closing(self, cancel_calls: bool) -> None:
        self._cancels_calls = self._cancels_calls or cancel_calls
        self._closing.set()


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
