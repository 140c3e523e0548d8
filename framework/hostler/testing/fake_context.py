"""What a plugin sees of a server, without a server: it records what the plugin reports."""

from __future__ import annotations

import math
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple

import anyio

from hostler.events.events import Event
from hostler.events.health import HealthReport
from hostler.model.spec import ServerSpec
from hostler.model.states import State
from hostler.model.values import Auth, CommandResult, Endpoint, Line, ProcessUsage, StreamEvent, StreamGap


class RecordedNotice(NamedTuple):
    """One notice, as the plugin reported it."""

    topic: str
    text: str
    level: str
    details: Mapping[str, object]


@dataclass(eq=False)
class FakeServerContext:
    """Plugins are called with it where the lifecycle of a real server does not matter.

    What a plugin reads can be set: `output` are the lines that `lines()` gives, `reported` the events that
    `events()` gives, `usage` is what `processes()` returns, `command_result` is the result of every command.
    What a plugin does has no effect and is kept in `notices`, `published`, `redacted`, `progressed`,
    `delivered`, `commands` (their argv), `beside` (what it passed to `start_soon`).
    """

    name: str = "stand-in"
    spec: ServerSpec = field(default_factory=lambda: ServerSpec(name="stand-in"))
    state: State = State.STARTING
    generation: int = 1
    pid: int | None = None
    endpoint: Endpoint | None = None
    data_dir: Path = field(default_factory=Path.cwd)
    cache_dir: Path = field(default_factory=Path.cwd)
    state_dir: Path = field(default_factory=Path.cwd)
    facts: Mapping[str, object] = field(default_factory=dict)
    output: Sequence[Line] = ()
    reported: Sequence[Event] = ()
    usage: Sequence[ProcessUsage] = ()
    quiet_for: float = math.inf
    reports: Mapping[str, HealthReport] = field(default_factory=dict)
    command_result: CommandResult = field(default_factory=lambda: CommandResult(0, None))
    notices: list[RecordedNotice] = field(default_factory=list)
    published: dict[str, str] = field(default_factory=dict)
    redacted: list[str] = field(default_factory=list)
    progressed: list[str] = field(default_factory=list)
    delivered: list[StreamEvent | StreamGap] = field(default_factory=list)
    commands: list[tuple[str, ...]] = field(default_factory=list)
    beside: list[Callable[[], Awaitable[None]]] = field(default_factory=list)

    @property
    def url(self) -> str | None:
        """The URL of `endpoint`."""
        return None if self.endpoint is None else self.endpoint.url

    @property
    def auth(self) -> Auth | None:
        """The `auth` among the facts."""
        auth = self.facts.get("auth")
        return auth if isinstance(auth, Auth) else None

    def stranger(self) -> str:
        """No other program listens."""
        return ""

    def verify_listener(self, *, secret: bool = False, at: Endpoint | None = None) -> None:
        """No other program listens."""

    def is_secret(self, text: str) -> bool:
        """Whether it holds something redacted."""
        return any(value in text for value in self.redacted)

    def members(self) -> list[int]:
        """The pid alone."""
        return [] if self.pid is None else [self.pid]

    async def processes(self, *, shared_once: bool = False) -> tuple[ProcessUsage, ...]:
        """The processes in `usage`."""
        return tuple(self.usage)

    def command_env(self) -> dict[str, str]:
        """The published variables."""
        return dict(self.published)

    async def run_command(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        sandboxed: bool = True,
    ) -> CommandResult:
        """Run nothing, and give back `command_result`."""
        self.commands.append(tuple(argv))
        return self.command_result

    async def read_file(self, path: Path) -> str:
        """The text of a real file."""
        return await anyio.Path(path).read_text(encoding="utf-8")

    async def create_file(self, path: Path, text: str) -> bool:
        """Write a real file, unless one is there that is not empty."""
        file = anyio.Path(path)
        if await file.exists() and (await file.stat()).st_size:
            return False
        await file.parent.mkdir(parents=True, exist_ok=True)
        await file.write_text(text, encoding="utf-8")
        return True

    async def remove_file(self, path: Path) -> None:
        """Remove a real file."""
        await anyio.Path(path).unlink(missing_ok=True)

    def publish(self, name: str, value: str, *, secret: bool = False) -> None:
        """Record a variable."""
        self.published[name] = value
        self.redacted += [value] if secret else []

    def redact(self, value: str) -> None:
        """Record a secret."""
        self.redacted.append(value)

    def progress(self, text: str, fraction: float | None = None) -> None:
        """Record a progress message."""
        self.progressed.append(text)

    def notice(self, topic: str, text: str, *, level: str = "info", **details: object) -> None:
        """Record a notice."""
        self.notices.append(RecordedNotice(topic, text, level, details))

    async def events(self) -> AsyncIterator[Event]:
        """The events in `reported`, and no more."""
        for event in self.reported:
            yield event

    async def lines(self, buffer: int = 4096) -> AsyncIterator[Line]:
        """The lines of `output`, and no more."""
        for line in self.output:
            yield line

    def deliver(self, item: StreamEvent | StreamGap) -> None:
        """Record an event."""
        self.delivered.append(item)

    def start_soon(
        self,
        function: Callable[[], Awaitable[None]],
        *,
        over_restarts: bool = False,
        while_failed: str = "",
    ) -> None:
        """Record the function without running it."""
        self.beside.append(function)

    def ask_restart(self, reason: str, *, when: Literal["now", "planned"] = "now") -> None:
        """Record the request without restarting anything."""
        self.notice("restart_asked", reason)


StandIn, Told = FakeServerContext, RecordedNotice  # deprecated
