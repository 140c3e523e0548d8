"""Writes a server's output to a file that is rotated by size and time."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

from hostler import (
    Duration,
    Launch,
    LogFileCreationFailed,
    LogFiles,
    LogIndex,
    ServerSpec,
    ServerView,
    Sink,
    Size,
    hookimpl,
    option,
    why_not_writable,
)

from hostler_plugins.log_rotation.file import why_no_log
from hostler_plugins.log_rotation.sink import LogFile


@dataclass(eq=False)
class LogRotation:
    """Writes stdout and stderr, byte for byte, to one file: opencode.log, opencode.log.1 ... opencode.log.5.

    A file exceeds `max_size` by at most one line of up to 64 KiB, unless it cannot be renamed, which a
    notice reports. The streams interleave at line ends. While the file cannot be written (a full disk),
    whole lines of output are dropped. A notice says so, and afterwards a line in the file says how much was
    lost. The path has to be a regular file (no link, no device), and only root and hostler's user may be
    able to change the folders on the path to it.
    """

    path: Path | None = option(
        None, "The file, relative to the data directory; default: named for the server"
    )
    max_size: Size = option(Size(10 * 2**20), "The size at which the file is rotated")
    keep: int = option(5, "Number of rotated files to keep")
    every: Duration | None = option(
        None, 'Start a new file after each span of this length, counted from midnight UTC: "1d", "1h"'
    )
    compress: bool = option(False, "Whether to compress rotated files (opencode.log.1.gz)")
    format: Literal["text", "json"] = option(
        "text", "The bytes as they come, or one JSON object for each line: time, server, stream, line"
    )
    timestamps: bool = option(False, "Whether to put the time (UTC) before every line of text")
    index: bool = option(
        False, "Whether to keep an index of times, streams and runs beside the file, for programs"
    )

    def __post_init__(self) -> None:
        if self.max_size < 1:
            raise ValueError('max_size must be larger than 0, such as "10 MiB"')
        if self.keep < 0:
            raise ValueError("keep must be 0 or larger")
        if self.every is not None and self.every < 1:
            raise ValueError('every: expected a second or more, such as "1d"')

    def check(self, spec: ServerSpec, launch: Launch) -> Iterator[str]:
        """For `hostler check`: why the file could not be written."""
        path = self.log_file(spec, launch)
        reason = why_not_writable(path) or why_no_log(path)
        if reason:
            yield f"the log file {path} cannot be written: {reason}"

    def log_file(self, spec: ServerSpec, launch: Launch) -> Path:
        """For `hostler show`: where the output will be written."""
        return self._file(spec.name, launch)

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Open the file and add it to the sinks, or fail before anything is started."""
        path = self._file(server.name, launch)
        log, sink = self._sinks(server, path)
        launch.defer(log.close_unused)
        launch.on_fork(log.disown)
        launch.outputs.append(path.parent)

        if launch.confinement is not None and launch.confinement.may_write(path.parent):
            await launch.confinement.enter(launch.cwd)  # refuses links that the server could have made

        try:
            await self._open(log)
        except OSError as error:
            raise LogFileCreationFailed(
                f"the log file {path} cannot be opened: {error.strerror}",
                server=server.name,
                hint=_hint(error, path),
                details={"path": str(path), "errno": error.errno},
                permanent=error.errno == errno.EPERM,  # it is no file of ours, or others could change it
            ) from error

        launch.sinks.append(sink)
        launch.facts["log_file"] = path
        launch.facts["log"] = LogFiles(path)

    async def _open(self, log: LogFile) -> None:
        # The data directory is looked at on the loop before each start: to open a file in it takes less
        # than to wake up a thread. Other folders may be on a disk that hangs.
        if self.path is None or not (self.path.is_absolute() or ".." in self.path.parts):
            try:
                log.open(patience=0.0)
            except OSError as error:
                if error.errno != errno.EBUSY:
                    raise
            else:
                return

        from anyio import to_thread  # noqa: PLC0415 - `hostler check` needs none of it

        await to_thread.run_sync(log.open)

    def _sinks(self, server: ServerView, path: Path) -> tuple[LogFile, Sink]:
        """The file, and what writes to it."""
        log = partial(
            LogFile,
            path,
            max_size=self.max_size,
            keep=self.keep,
            every=self.every or 0.0,
            compress=self.compress,
            index=self._new_index(server) if self.index else None,
            stays=_rotation_notice(server, path),
        )

        if self.format == "text":
            file = log(timestamps=self.timestamps)
            return file, file

        from hostler_plugins.log_rotation.json_lines import JsonLines, gap_in_json  # noqa: PLC0415 - seldom

        file = log(gap=partial(gap_in_json, server.name))
        return file, JsonLines(server.name, file)

    def _new_index(self, server: ServerView) -> LogIndex:
        run = server.generation
        lines: Literal["text", "stamped", "json"] = "stamped" if self.timestamps else "text"
        return LogIndex(
            run,
            format="json" if self.format == "json" else lines,
            pid=lambda: server.pid if server.generation == run else None,
        )

    def _file(self, server: str, launch: Launch) -> Path:
        return launch.data_dir / (self.path or f"{server}.log")


def _rotation_notice(server: ServerView, path: Path) -> Callable[[OSError], None]:
    """A callback for the writing thread that reports why a file cannot be rotated."""
    from asyncio import get_running_loop  # noqa: PLC0415 - `hostler check` needs none of it

    loop = get_running_loop()

    def tell(error: OSError) -> None:
        text = (
            f"the log file {path} cannot be rotated: {error.strerror}; it grows beyond max_size until it can"
        )
        notice = partial(server.notice, "log_not_rotated", text, level="warning", path=str(path))
        with contextlib.suppress(RuntimeError):  # the loop is closed: nobody is left to hear it
            loop.call_soon_threadsafe(notice)

    return tell


def _hint(error: OSError, path: Path) -> str:
    if error.errno == errno.EBUSY:
        return 'give each server a file of its own: log-rotation = { path = "other.log" }, or no path at all'
    if error.errno == errno.EPERM:
        return (
            "set a path for the plugin log-rotation to a file (not a device or a link) in a folder that only "
            "this user and root can change; hostler run shows the output in the terminal too"
        )
    return f"make {path.parent} writable, or set another path for the plugin log-rotation"
