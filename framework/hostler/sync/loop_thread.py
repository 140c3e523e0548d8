"""The thread on which the servers of one `serve` block live, with an event loop of its own."""

from __future__ import annotations

import asyncio
import atexit
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress

from anyio.from_thread import BlockingPortal

from hostler.supervisor.supervisor import Supervisor
from hostler.sync.portal import LoopPortal

_PATIENCE_AT_EXIT = 15.0  # beside the time that its servers may take to stop


class LoopThread:
    """Keeps a supervisor up from `begin` until it is told to end. The thread is a daemon, ended at exit."""

    def __init__(self, make: Callable[[], Supervisor]) -> None:
        self._make = make
        self._pid = os.getpid()
        self._begun: Future[tuple[Supervisor, LoopPortal]] = Future()
        self._ended: Future[None] = Future()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._asked = asyncio.Event()
        self._hurry = False
        self._thread = threading.Thread(target=self._run, name="hostler", daemon=True)

    def begin(self) -> tuple[Supervisor, LoopPortal]:
        """Start the thread, make and enter the supervisor there; raises what that raises."""
        self._thread.start()
        try:
            begun = self._begun.result()
        except BaseException:
            self.drop()
            raise
        atexit.register(self._end_at_exit)
        return begun

    def end(self, *, hurry: bool) -> None:
        """Stop all servers and wait for it; `hurry` cancels the calls of other threads that still wait.

        Raises what Supervisor.close raises. In a forked child, and on its own thread, nobody is waited for.
        """
        self._ask(hurry=hurry)

        if self._is_elsewhere():
            return

        try:
            self._thread.join()
        except BaseException:
            self._thread.join()  # the first Ctrl-C does not cut the clean-up short
            raise

        self._ended.result()

    def drop(self) -> None:
        """Have it end, without waiting: called by the garbage collector, on any thread."""
        self._ask(hurry=True)

    def _is_elsewhere(self) -> bool:
        return os.getpid() != self._pid or threading.current_thread() is self._thread

    def _ask(self, *, hurry: bool) -> None:
        loop = self._loop
        if loop is not None and os.getpid() == self._pid:
            with suppress(RuntimeError):  # it is closed: all is over
                loop.call_soon_threadsafe(self._take, hurry)

    def _take(self, hurry: bool) -> None:
        self._hurry = self._hurry or hurry
        self._asked.set()

    def _end_at_exit(self) -> None:
        if not self._is_elsewhere():
            self._ask(hurry=True)
            self._thread.join(self._patience())

    def _patience(self) -> float:
        supervisor, _ = self._begun.result()
        return _PATIENCE_AT_EXIT + sum(one.spec.force_kill_timeout for one in supervisor.servers.values())

    # -- on the thread ------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._live())
        except BaseException as error:  # noqa: BLE001 - raised where it is waited for
            self._fail(error)
        finally:
            atexit.unregister(self._end_at_exit)
            if not self._ended.done():
                self._ended.set_result(None)

    def _fail(self, error: BaseException) -> None:
        if self._begun.done():
            self._ended.set_exception(error)
        else:
            self._begun.set_exception(error)

    async def _live(self) -> None:
        self._loop = asyncio.get_running_loop()
        async with BlockingPortal() as blocking_portal:
            try:
                await self._supervise(blocking_portal)
            except BaseException as error:  # noqa: BLE001 - from in here it would come as a group
                self._fail(error)
            await blocking_portal.stop(cancel_remaining=self._hurry)

    async def _supervise(self, blocking_portal: BlockingPortal) -> None:
        supervisor = self._make()
        portal = LoopPortal(blocking_portal)
        try:
            async with supervisor:
                self._begun.set_result((supervisor, portal))
                await self._asked.wait()
        finally:
            portal.shut()
