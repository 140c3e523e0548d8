"""watch-files: restarts a server when files that it is made of change."""

from __future__ import annotations

import importlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Literal

from hostler import Duration, Launch, ServerSpec, ServerView, hookimpl, option

_TOO_MANY, _WITHIN = 10, 60.0  # so many restarts in so many seconds: the server itself changes the files


@dataclass(eq=False)
class WatchFiles:
    """Restarts the server in order, or sends it a signal, when files below some folders change.

    Folders such as .git, node_modules and __pycache__, and the traces of editors, never count. Changes that
    come together are one. A server that changes its own files would be restarted without end: after 10
    times in a minute the watch ends, and a notice says so.
    """

    paths: list[Path] = option([Path()], "Files and folders, relative to the server's working directory")
    patterns: list[str] = option([], "Names that count, such as *.py; without any, all do")
    ignore: list[str] = option([], "Names, or paths relative to the working directory, that do not count")
    debounce: Duration = option(Duration(0.4), "How long it has to be quiet until changes count as complete")
    action: Literal["restart", "SIGHUP", "SIGUSR1", "SIGUSR2"] = option(
        "restart", "A restart, or the signal by which the server reads its files anew"
    )
    polling: bool = option(False, "Look again and again: for network mounts, where nobody tells of changes")
    _times: list[float] = field(init=False, repr=False, default_factory=list)

    def __post_init__(self) -> None:
        if not self.paths:
            raise ValueError('paths: expected at least one, such as ["."]')

        if self.debounce <= 0:
            raise ValueError('debounce: expected more than 0, such as "400ms"')

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Begin to watch, so that a change while it starts counts too."""
        launch.warm_up(partial(importlib.import_module, "watchfiles"))
        there, missing = self._places(launch.cwd)

        if missing:
            text = f"there is nothing to watch at {', '.join(map(str, missing))}"
            server.notice("watch_missing", text, level="warning")

        if there:
            server.start_soon(partial(self._watch, server, there, launch.cwd))

    def check(self, spec: ServerSpec, launch: Launch) -> Iterator[str]:
        """For `hostler check`: what there is not."""
        for place in self._places(spec.cwd)[1]:
            yield f"paths: there is nothing to watch at {place}"

    def _places(self, cwd: Path) -> tuple[list[Path], list[Path]]:
        """What is watched: what is there, and what is missing."""
        places = [cwd / path for path in self.paths]
        return [one for one in places if one.exists()], [one for one in places if not one.exists()]

    async def _watch(self, server: ServerView, folders: Sequence[Path], cwd: Path) -> None:
        import watchfiles  # noqa: PLC0415 - only who watches pays for it

        changes = watchfiles.awatch(
            *folders,
            watch_filter=partial(self._counts, watchfiles.DefaultFilter(), cwd),
            debounce=round(self.debounce * 4000),
            step=round(self.debounce * 1000),
            force_polling=self.polling or None,
            recursive=True,
        )

        async for change in changes:
            names = sorted(str(_inside(path, cwd)) for _, path in change)
            what = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"

            if self._is_flood():
                server.notice(
                    "watch_ended",
                    f"{what}: {_TOO_MANY} changes within {_WITHIN:g} s, so files are watched no more; the "
                    "server itself may change them: name them in watch-files = { ignore = [...] }",
                    level="warning",
                )
                return

            self._act(server, what)

    def _is_flood(self) -> bool:
        """Whether there were too many changes lately; this one is counted."""
        now = time.monotonic()
        self._times[:] = [*(one for one in self._times if now - one < _WITHIN), now]
        return len(self._times) > _TOO_MANY

    def _act(self, server: ServerView, what: str) -> None:
        if self.action == "restart":
            server.ask_restart(f"{what} changed")
            return

        server.notice("files_changed", f"{what} changed: {self.action} is sent")

        if server.pid is not None:
            with suppress(ProcessLookupError):  # it ends just now: its next start reads the files anyway
                os.kill(server.pid, signal.Signals[self.action])

    def _counts(self, default: Callable[..., bool], cwd: Path, change: object, path: str) -> bool:
        inside = _inside(path, cwd)
        names = (inside.name, str(inside), *map(str, inside.parents))

        if not default(change, str(inside)) or any(
            fnmatch(name, one) for one in self.ignore for name in names
        ):
            return False

        return not self.patterns or any(
            fnmatch(name, one) for one in self.patterns for name in (inside.name, str(inside))
        )


def _inside(path: str, cwd: Path) -> Path:
    """The path as its user names it."""
    return Path(path).relative_to(cwd) if Path(path).is_relative_to(cwd) else Path(path)
