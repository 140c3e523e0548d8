"""watch-files: restarts a server when files that it is made of change."""

from __future__ import annotations

import asyncio
import importlib
import math
import os
import signal
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Literal

from anyio import to_thread
from hostler import Duration, Launch, ServerSpec, ServerView, State, hookimpl, option

from hostler_plugins.watch_files.contents import Contents

_TOO_MANY, _WITHIN = 10, 60.0  # so many restarts in so many seconds: the server itself may change the files
_SLOW = 30.0
_ADDED, _MODIFIED = 1, 2  # watchfiles.Change
_HOPE = "a change of its files starts it anew"
# What editors, desktops and NFS write beside a file: Emacs, vim, JetBrains, Kate, GNOME, VS Code.
_EDITORS = ("#*#", "4913", "*___jb_???___", "*.kate-swp", ".goutputstream-*", ".nfs*", ".vscode", ".fleet")


@dataclass(slots=True)
class Pace:
    """How soon a change may be acted on; all times in seconds. `slow` says that there were too many."""

    slow: bool = False
    _changed: float = -math.inf
    _acted: list[float] = field(default_factory=list)

    def changed(self, now: float) -> float:
        """The wait until this change may be acted on."""
        if now - self._changed >= _WITHIN:
            self.slow = False
        self._changed = now
        self._acted[:] = [one for one in self._acted if now - one < _WITHIN]
        self.slow = self.slow or len(self._acted) >= _TOO_MANY
        return max(0.0, self._acted[-1] + _SLOW - now) if self.slow and self._acted else 0.0

    def acted(self, now: float) -> None:
        """It is acted on now."""
        self._acted.append(now)


@dataclass(eq=False)
class WatchFiles:
    """Restarts the server cleanly, or sends it a signal, when files in some folders change.

    These never count: folders such as .git, node_modules and __pycache__, temporary files of editors, and a
    new time or new permissions of a file with the same content. Changes that come together count once.

    Files stay watched while the server has crashed or failed: the next change starts it again, with a full
    restart budget. A server that changes its own files would be restarted endlessly. So after 10 restarts
    in a minute there is one restart in 30 s, until nothing has changed for a minute; a notice says so.
    """

    paths: list[Path] = option([Path()], "Files and folders, relative to the server's working folder")
    patterns: list[str] = option([], "Names that count, such as *.py; default: all")
    ignore: list[str] = option([], "Names, or paths relative to the working folder, that do not count")
    debounce: Duration = option(Duration(0.4), "How long nothing may change before changes count as complete")
    action: Literal["restart", "SIGHUP", "SIGUSR1", "SIGUSR2"] = option(
        "restart", "A restart, or the signal that makes the server read its files again"
    )
    polling: bool = option(False, "Whether to poll: for network mounts, which report no changes")
    _pace: Pace = field(init=False, repr=False, default_factory=Pace)
    _watched: object = field(init=False, repr=False, default=None)
    _end: asyncio.Event = field(init=False, repr=False, default_factory=asyncio.Event)

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
            server.notice("watch_missing", "; ".join(map(_nothing_at, missing)), level="warning")

        if self._watched != (there, launch.cwd):
            self._watched = (there, launch.cwd)
            self._end.set()
            self._end = asyncio.Event()
            if there:
                watch = partial(self._watch, server, there, launch.cwd, self._end)
                server.start_soon(watch, over_restarts=True, while_failed=_HOPE)

    def check(self, spec: ServerSpec, launch: Launch) -> Iterator[str]:
        """For `hostler check`: what there is not, which a start warns of, too."""
        for place in self._places(spec.cwd)[1]:
            yield f"warning: paths: {_nothing_at(place)}"

    def _places(self, cwd: Path) -> tuple[list[Path], list[Path]]:
        """What is watched: what is there, and what is missing."""
        places = [cwd / path for path in self.paths]
        return [one for one in places if one.exists()], [one for one in places if not one.exists()]

    async def _watch(self, server: ServerView, places: Sequence[Path], cwd: Path, end: asyncio.Event) -> None:
        async for paths in self._changes(places, cwd, end):
            names = sorted(str(_inside(path, cwd)) for path in paths)
            what = names[0] if len(names) == 1 else f"{names[0]} and {len(names) - 1} more"
            await self._slow_down(server, what)
            self._act(server, what)

    async def _changes(
        self, places: Sequence[Path], cwd: Path, end: asyncio.Event
    ) -> AsyncIterator[list[str]]:
        """The paths that changed together, again and again."""
        import watchfiles  # noqa: PLC0415 - only who watches pays for it

        default, contents = watchfiles.DefaultFilter(), Contents()
        counts = partial(self._counts, default, cwd)
        learn = partial(contents.learn, places, default.ignore_dirs, partial(counts, None), time.time())
        learning = asyncio.ensure_future(to_thread.run_sync(learn, abandon_on_cancel=True))
        try:
            async for seen in watchfiles.awatch(
                *places,
                watch_filter=counts,
                # `step` is the silence that ends a group of changes, `debounce` the longest time of a group.
                debounce=round(self.debounce * 4000),
                step=round(self.debounce * 1000),
                stop_event=end,
                force_polling=self.polling or None,
                recursive=True,
            ):
                await learning
                if changed := await to_thread.run_sync(_changed, seen, contents, abandon_on_cancel=True):
                    yield changed
        finally:
            learning.cancel()

    async def _slow_down(self, server: ServerView, what: str) -> None:
        """What changes meanwhile is one change."""
        was_slow = self._pace.slow
        delay = self._pace.changed(time.monotonic())

        if self._pace.slow and not was_slow:
            server.notice(
                "watch_slowed",
                f"{what}: more than {_TOO_MANY} changes within {_WITHIN:g} s, so from now on there is one "
                f"{self.action} in {_SLOW:g} s, until nothing has changed for {_WITHIN:g} s; the server "
                "itself may change them: name them in watch-files = { ignore = [...] }",
                level="warning",
            )

        await asyncio.sleep(delay)
        self._pace.acted(time.monotonic())

    def _act(self, server: ServerView, what: str) -> None:
        if self.action == "restart" or server.state in {State.CRASHED, State.BACKOFF, State.FAILED}:
            server.ask_restart(f"{what} changed", when="planned")
            return
        server.notice("files_changed", f"{what} changed: {self.action} is sent")
        if server.pid is not None:
            with suppress(ProcessLookupError):  # it ends just now: its next start reads the files anyway
                os.kill(server.pid, signal.Signals[self.action])

    def _counts(self, default: Callable[..., bool], cwd: Path, change: object, path: str) -> bool:
        inside = _inside(path, cwd)
        names = (inside.name, str(inside), *map(str, inside.parents))
        if not default(change, str(inside)) or any(
            fnmatch(name, one) for one in (*_EDITORS, *self.ignore) for name in names
        ):
            return False

        return not self.patterns or any(
            fnmatch(name, one) for one in self.patterns for name in (inside.name, str(inside))
        )


def _nothing_at(place: Path) -> str:
    text = f"there is nothing to watch at {place}"
    if not set("*?[") & set(place.name):
        return text
    return f'{text}: name the folder, and what counts in it with patterns = ["{place.name}"]'


def _changed(seen: Iterable[tuple[int, str]], contents: Contents) -> list[str]:
    """The paths at which something is new, another or gone; `seen` is what watchfiles tells.

    What came and went is the temporary file of a save, and a new folder counts for the files in it.
    """
    real = [one for one in seen if not Path(one[1]).is_dir() or (one[0] != _MODIFIED and _has_files(one[1]))]
    come = (path for kind, path in real if kind == _ADDED and path not in contents)
    brief = {path for path in come if not os.path.lexists(path)}
    return [path for _, path in real if path not in brief and contents.have_changed(path)]


def _has_files(folder: str) -> bool:
    return any(files for _, _, files in os.walk(folder))


def _inside(path: str, cwd: Path) -> Path:
    """The path as its user names it."""
    return Path(path).relative_to(cwd) if Path(path).is_relative_to(cwd) else Path(path)
