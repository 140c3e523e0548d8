"""A stand-in for a running server: what plugins see of it, and a memory of what they told it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hostler import (
    Auth,
    CommandResult,
    Endpoint,
    Line,
    ProcessUsage,
    ServerSpec,
    State,
    StreamEvent,
    StreamGap,
)


class Unasked:
    """What the plugins of a test are not expected to ask for."""

    def stranger(self) -> str:
        return ""

    def verify_listener(self, *, secret: bool = False, at: Endpoint | None = None) -> None:
        return

    def is_secret(self, text: str) -> bool:
        return False

    def members(self) -> list[int]:
        raise NotImplementedError

    def command_env(self) -> dict[str, str]:
        raise NotImplementedError

    async def run_command(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        sandboxed: bool = True,
    ) -> CommandResult:
        raise NotImplementedError

    async def read_file(self, path: Path) -> str:
        raise NotImplementedError

    async def create_file(self, path: Path, text: str) -> bool:
        raise NotImplementedError

    async def remove_file(self, path: Path) -> None:
        raise NotImplementedError

    @property
    def quiet_for(self) -> float:
        raise NotImplementedError

    async def processes(self, *, shared_once: bool = False) -> tuple[ProcessUsage, ...]:
        raise NotImplementedError

    def publish(self, name: str, value: str, *, secret: bool = False) -> None:
        raise NotImplementedError

    def progress(self, text: str, fraction: float | None = None) -> None:
        raise NotImplementedError

    def lines(self, buffer: int = 4096) -> AsyncIterator[Line]:
        raise NotImplementedError

    def deliver(self, item: StreamEvent | StreamGap) -> None:
        raise NotImplementedError

    def start_soon(
        self,
        function: Callable[[], Awaitable[None]],
        *,
        over_restarts: bool = False,
        while_failed: str = "",
    ) -> None:
        raise NotImplementedError

    def ask_restart(self, reason: str) -> None:
        raise NotImplementedError


@dataclass(eq=False)
class Witness(Unasked):
    """Plugins are called with it where the life of a real server does not matter: it only remembers."""

    name: str = "web"
    state: State = State.STARTING
    generation: int = 1
    pid: int | None = None
    endpoint: Endpoint | None = None
    url: str | None = None
    auth: Auth | None = None
    data_dir: Path = Path()
    cache_dir: Path = Path()
    state_dir: Path = Path()
    facts: Mapping[str, object] = field(default_factory=dict)
    redacted: list[str] = field(default_factory=list)
    notices: list[tuple[str, str, str, Mapping[str, object]]] = field(default_factory=list)

    @property
    def spec(self) -> ServerSpec:
        return ServerSpec(name=self.name)

    def redact(self, value: str) -> None:
        self.redacted.append(value)

    def notice(self, topic: str, text: str, *, level: str = "info", **details: object) -> None:
        self.notices.append((topic, text, level, details))
