"""A careless plugin: it has seen all secrets, and lets them out wherever it can."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from hostler import (
    Endpoint,
    Exit,
    Healthy,
    Launch,
    Report,
    ServerError,
    ServerView,
    StreamName,
    Unhealthy,
    hookimpl,
)

FILLING = "and so on " * 40


@dataclass(eq=False)
class Leaky:
    """Raises, notices and reports what the variables of these names hold."""

    names: list[str] = field(default_factory=list)
    fails_at_the_start: bool = False
    _seen: list[str] = field(init=False, default_factory=list)

    def _said(self) -> str:
        return " | ".join(self._seen)

    @hookimpl(trylast=True)
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        self._seen = [value for name, value in launch.env.items() if name in self.names]
        server.progress(f"preparing with {self._said()}")
        server.publish("LEAKY", self._said(), secret=True)
        launch.defer(self._clean_up)
        launch.sinks.append(self)
        if self.fails_at_the_start:
            raise ServerError(f"no luck with {self._said()}", hint=self._said(), details={"seen": self._seen})

    @hookimpl
    def parse_port(self, line: str) -> Endpoint | None:
        raise RuntimeError(f"{FILLING[: 270 - len(self._seen[0]) // 2]}{self._seen[0]} {line}")

    @hookimpl
    async def health_check(self, server: ServerView) -> AsyncGenerator[Report, None]:
        server.start_soon(self._beside)
        yield Unhealthy(f"says {self._said()}", {"seen": self._seen, "text": repr(self._seen)})
        yield Healthy({"seen": {"deeply": self._seen}})
        raise RuntimeError(self._seen)

    @hookimpl
    async def on_ready(self, server: ServerView) -> None:
        for secret in self._seen:
            server.notice("leak", f"it is {secret!r}", level="warning", seen=secret, bytes=secret.encode())
        raise KeyError(self._said())

    @hookimpl
    async def on_crash(self, exit: Exit) -> None:
        raise ExceptionGroup(self._said(), [ValueError(secret) for secret in self._seen])

    @hookimpl
    async def on_shutdown(self) -> None:
        raise RuntimeError(self._said()) from KeyError(self._said())

    async def _beside(self) -> None:
        raise RuntimeError(self._said())

    def _clean_up(self) -> None:
        raise RuntimeError(self._said())

    def write(self, stream: StreamName, data: bytes) -> None:
        raise OSError(5, self._said(), self._said())

    def close(self) -> None:
        raise RuntimeError(self._said())
