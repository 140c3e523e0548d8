"""file-ready: a server is ready when it has written a file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import anyio.to_thread
from hostler import (
    Duration,
    EnvironmentSetupFailed,
    Healthy,
    Launch,
    Report,
    ServerView,
    Unhealthy,
    hookimpl,
    option,
    poll,
)

from hostler_plugins._option_checks import check_positive

_PAUSE = 0.05
_SECONDS = 5.0

Mark: TypeAlias = tuple[int, int, int]
"""Device, inode and time of the last change: another one means that the file was written."""


@dataclass(eq=False)
class FileReady:
    """Waits for a file: the server is ready when the file exists and is not the one from before the start.

    A file from before counts when it is written or replaced. Once the server is ready, the file is no
    longer checked, unless `watch` is on: then a missing file is a failure.
    """

    path: Path = option(..., "The file, relative to the server's cwd")
    remove_stale: bool = option(False, "Whether to remove a file from before at each start")
    watch: bool = option(False, "Whether the file has to stay")
    interval: Duration = option(Duration(1), "How often `watch` checks")
    failures: int | None = option(
        None, "How often in a row the file may be missing; default: the server's max_connection_failures"
    )
    _file: Path = field(init=False, default=Path(), repr=False)
    _before: Mark | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        if not self.path.name:
            raise ValueError(f"path: expected a file, found {str(self.path)!r}")
        check_positive(self, "interval", "failures")

    @hookimpl(trylast=True)
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Take note of what is there before the start, or remove it."""
        self._file = launch.cwd / self.path

        try:
            if self.remove_stale:
                await server.remove_file(self._file)  # as the server: it may have linked its folder elsewhere
            self._before = await anyio.to_thread.run_sync(_mark, self._file)
        except OSError as error:
            raise EnvironmentSetupFailed(
                f"file-ready cannot look for {self._file}: {error.strerror or error}",
                hint="repair it, or name another path",
            ) from error

    @hookimpl
    async def health_check(self, server: ServerView) -> AsyncGenerator[Report, None]:
        """Report the file when it comes, and when it goes."""
        if not await self._is_there():
            yield Unhealthy(f"{self._file} has not been written yet", limit=1)

        while not await self._is_there():  # noqa: ASYNC110 - nobody tells, and only until it is ready
            await asyncio.sleep(_PAUSE)

        yield Healthy({"path": str(self._file)})

        if not self.watch:
            return

        reports = poll(self._ask, interval=self.interval, timeout=_SECONDS, failures=self.failures)
        async with aclosing(reports):
            async for report in reports:
                yield report

    async def _ask(self) -> Report:
        there = await self._is_there()
        return Healthy({"path": str(self._file)}) if there else Unhealthy(f"{self._file} is gone")

    async def _is_there(self) -> bool:
        """Whether the file is there and is not the one from before; on a thread, for disks that hang."""
        mark = await anyio.to_thread.run_sync(_found, self._file, abandon_on_cancel=True)
        return mark is not None and mark != self._before


def _mark(file: Path) -> Mark | None:
    try:
        found = file.stat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    return found.st_dev, found.st_ino, found.st_mtime_ns


def _found(file: Path) -> Mark | None:
    try:
        return _mark(file)
    except OSError:  # not allowed to look, for now: not there
        return None
