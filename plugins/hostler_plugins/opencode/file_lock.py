"""Exclusive locks between processes that can be waited for on the event loop."""

from __future__ import annotations

import asyncio
import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self


class FileLock:
    """A held flock on a file; it ends with `release`, or with the process."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor: int | None = descriptor

    @property
    def held(self) -> bool:
        """Whether it has not been released yet."""
        return self._descriptor is not None

    def release(self) -> None:
        """Let the next one in; any number of times."""
        if self._descriptor is not None:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)  # by name: a forked child may share it
            os.close(self._descriptor)
            self._descriptor = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.release()


async def take_lock(path: Path, waiting: Callable[[], None] | None = None) -> FileLock:
    """Take the lock on a file, which is made (0600) where it is missing, and wait for it off the event loop.

    `waiting` is called once when another one holds it. OSError when the file cannot be opened.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
    try:
        os.fchmod(descriptor, 0o600)  # a umask such as 0777 takes even our own bits away
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        if waiting is not None:
            waiting()
        await _Wait(descriptor).over()

    return FileLock(descriptor)


class _Wait:
    """Waiting for a lock in a thread; when it is cancelled, the thread closes the file as soon as it can."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._loop = asyncio.get_running_loop()
        self._told: asyncio.Future[None] = self._loop.create_future()
        self._turn = threading.Lock()
        self._abandoned = False
        self._acquired = False

    async def over(self) -> None:
        """Return when the lock is ours; OSError when it cannot be had."""
        # A daemon: a program that ends does not wait for somebody else's lock.
        threading.Thread(target=self._wait, name="opencode lock", daemon=True).start()

        try:
            await self._told
        except asyncio.CancelledError:
            with self._turn:
                self._abandoned = True
                if self._acquired:
                    os.close(self._descriptor)
            raise

    def _wait(self) -> None:
        error = None

        try:
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        except OSError as raised:  # pragma: no cover - only a file system without locks answers so this late
            error = raised

        with self._turn:
            self._acquired = error is None and not self._abandoned
            if not self._acquired:
                os.close(self._descriptor)

        with suppress(RuntimeError):  # the loop may be closed by now
            self._loop.call_soon_threadsafe(self._tell, error)

    def _tell(self, error: OSError | None) -> None:
        if self._told.done():
            return
        if error is None:
            self._told.set_result(None)
        else:  # pragma: no cover
            self._told.set_exception(error)
