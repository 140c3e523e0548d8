"""Knows the directories that OpenCode works in, and releases what it keeps for the idle ones."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote

import anyio
from hostler import Endpoint, ServerView

from hostler_plugins.opencode.client import Conversation, Place, conversation, request

_EVENTS, _STATUS, _TERMINALS, _DISPOSE = "/global/event", "/session/status", "/pty", "/instance/dispose"
_DISPOSED = "server.instance.disposed"
_LONGEST_LINE = 1 << 20
_RECONNECT = 1.0
_SHORTEST_LOOK, _LONGEST_LOOK = 0.05, 5.0
# Its children are gone within a second of the answer.
_SETTLE = 2.0
_MIB = 1 << 20


@dataclass(slots=True)
class DirectoryActivity:
    """When something last happened in each directory, from lines of `GET /global/event`."""

    own: str
    seen: dict[str, float] = field(default_factory=dict)

    def heard(self, line: bytes, now: float) -> None:
        """Take a line of the event stream into account; one that cannot be read may concern any directory."""
        if not line.startswith(b"data:"):
            return
        try:
            event = json.loads(line[5:])
            directory, payload = event.get("directory"), event.get("payload")
            kind = payload.get("type") if isinstance(payload, dict) else None
        except (ValueError, RecursionError, AttributeError):
            self.unsure(now)
            return

        if kind == _DISPOSED:
            self.seen.pop(str(payload.get("properties", {}).get("directory", directory)), None)
        elif isinstance(directory, str) and directory.startswith("/") and directory != self.own:
            self.seen[directory] = now

    def unsure(self, now: float) -> None:
        """Events may have been missed, in any directory."""
        self.seen = dict.fromkeys(self.seen, now)

    def quiet(self, now: float, seconds: float) -> list[str]:
        """The directories in which nothing happened for so long."""
        return [directory for directory, last in self.seen.items() if now - last >= seconds]


class Directories:
    """The directories of one run, and what runs in them.

    One that was quiet for `after` seconds and in which nothing runs is disposed of; None: never.
    """

    def __init__(self, server: ServerView, endpoint: Endpoint, after: float | None) -> None:
        self._server, self._endpoint, self._after = server, endpoint, after
        # The server's own directory holds the event stream of sse-health: what is disposed there comes back.
        self._activity = DirectoryActivity(str(server.facts.get("directory", "")))
        self._connected = False
        self._count = 0

    async def run(self) -> None:
        """Follow the events of all directories and look for quiet ones, while this version offers that."""
        async with anyio.create_task_group() as tasks:
            if self._after is not None:
                tasks.start_soon(self._look_again_and_again, self._after, tasks)
            while await self._follow():
                self._connected = False
                await anyio.sleep(_RECONNECT)
            self._tell_unsupported(tasks)

    def _tell_unsupported(self, tasks: anyio.abc.TaskGroup) -> None:
        if self._after is not None:
            tell_unsupported(self._server)
        tasks.cancel_scope.cancel()

    # -- following ----------------------------------------------------------------------------

    async def _follow(self) -> bool:
        """Take in one connection until it ends; False where there is no such stream."""
        try:
            place = Place(self._server, self._endpoint, _EVENTS)
            async with request(place, self._server.auth) as answer:
                if answer.status in {404, 405} or answer.content_type == "text/html":
                    return False
                if answer.status != 200:
                    return True
                self._activity.unsure(time.monotonic())
                self._connected = True
                rest = bytearray()
                async for piece in answer.content.iter_any():
                    rest += piece
                    for line in self._lines(rest):
                        self._activity.heard(line, time.monotonic())
        except OSError:
            pass
        return True

    def _lines(self, rest: bytearray) -> Iterator[bytes]:
        """The complete lines, taken out of `rest`."""
        *lines, last = rest.split(b"\n")
        rest[:] = last
        if len(last) > _LONGEST_LINE:
            rest.clear()  # what follows of it does not begin like an event
            self._activity.unsure(time.monotonic())
        yield from map(bytes, lines)

    # -- disposing ----------------------------------------------------------------------------

    async def _look_again_and_again(self, after: float, tasks: anyio.abc.TaskGroup) -> None:
        while True:
            await anyio.sleep(min(max(after / 10, _SHORTEST_LOOK), _LONGEST_LOOK))
            for directory in self._activity.quiet(time.monotonic(), after):
                if not await self.consider(directory):
                    self._tell_unsupported(tasks)
                    return

    async def consider(self, directory: str) -> bool:
        """Dispose of a quiet directory if nothing runs in it; False where this version has no way to."""
        seen = self._activity.seen
        last = seen.get(directory)
        try:
            before = await self._memory()  # slow, so not between the look and the request
            async with conversation(self._server, self._endpoint) as talk:
                idle = self._connected and await _what_runs_in(talk, directory) == []
                if last is None or seen.get(directory) != last:
                    return True  # something happened meanwhile
                if not idle or not self._connected:
                    seen[directory] = time.monotonic()
                    return True
                # A request that comes between that answer and this one loses: see docs/limits.md.
                if await talk.json_of(_at(_DISPOSE, directory), method="POST") is None:
                    return False
        except OSError:
            if directory in seen:
                seen[directory] = time.monotonic()
            return True
        await self._tell_disposed(directory, before)
        return True

    async def what_runs(self) -> list[str] | None:
        """The busy sessions and open terminals of all directories; None when that is unknown."""
        if not self._connected:
            return None
        found = []
        try:
            async with conversation(self._server, self._endpoint) as talk:
                for directory in filter(None, (self._activity.own, *tuple(self._activity.seen))):
                    running = await _what_runs_in(talk, directory)
                    if running is None:
                        return None
                    found += running
        except OSError:
            return None
        return found if self._connected else None

    async def _tell_disposed(self, directory: str, before: int) -> None:
        self._activity.seen.pop(directory, None)
        await anyio.sleep(_SETTLE)
        after = await self._memory()
        self._count += 1
        self._server.notice(
            "disposed",
            f"{directory} was idle for {self._after:g} s, so its MCP and language servers were ended: "
            f"{before // _MIB} MiB before, {after // _MIB} MiB after",
            directory=directory,
            before=before,
            after=after,
            count=self._count,
        )

    async def _memory(self) -> int:
        return sum(one.rss for one in await self._server.processes(shared_once=True))


async def _what_runs_in(talk: Conversation, directory: str) -> list[str] | None:
    """The terminals, and the sessions that are not known to be idle; None without an answer."""
    terminals = await talk.json_of(_at(_TERMINALS, directory)) not in ([], None)
    # Last, because sessions begin by themselves and often.
    sessions = await talk.json_of(_at(_STATUS, directory))
    if not isinstance(sessions, dict):
        return None
    idle = [name for name, one in sessions.items() if isinstance(one, dict) and one.get("type") == "idle"]
    busy = [f"session {name} in {directory}" for name in sessions if name not in idle]
    return [*busy, *([f"a terminal in {directory}"] if terminals else [])]


def _at(path: str, directory: str) -> str:
    return f"{path}?directory={quote(directory, safe='')}"


def own_directory(cwd: Path) -> str:
    """The server's own directory as OpenCode names it."""
    return str(cwd.resolve())


def tell_unsupported(server: ServerView) -> None:
    """Say that nothing will be disposed of in this run."""
    version = server.facts.get("version") or "unknown"
    server.notice(
        "dispose_unsupported",
        f"dispose_idle has no effect: this version of OpenCode ({version}) cannot tell what runs in a "
        "directory, or cannot dispose of one; use 1.14 or newer of 1.x",
        level="warning",
    )
