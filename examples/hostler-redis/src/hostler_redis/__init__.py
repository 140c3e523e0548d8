"""redis: tells a Redis server where to listen, asks it with PING, and has it shut down by its own command."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import ClassVar

from hostler import (
    Duration,
    Endpoint,
    Healthy,
    InvalidConfiguration,
    Launch,
    Report,
    ServerView,
    Unhealthy,
    hookimpl,
    option,
    poll,
)

# "32419:M 23 Nov 2026 11:26:02.307 * Running mode=standalone, port=6379."
_LISTENS = re.compile(r"\* Running mode=\w+, port=(?P<port>\d{1,5})\.")
_PORTS = range(1, 65536)
_BUSY = ("LOADING", "BUSY", "MASTERDOWN")
_SHUTDOWN_SECONDS = 1.5  # hostler gives on_shutdown 2


@dataclass(eq=False)
class Redis:
    """Keeps a Redis server: where it listens, whether it answers, and how it is shut down."""

    api: ClassVar[str] = "1"

    interval: Duration = option(Duration(10), "how often Redis is asked")
    timeout: Duration = option(Duration(2), "how long an answer may take")
    save: bool = option(False, "whether the data is written to disk before a wanted stop")

    def __post_init__(self) -> None:
        for name in ("interval", "timeout"):
            if getattr(self, name) <= 0:
                raise ValueError(f"{name}: must be longer than 0")

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Say what the command does not say itself: where to listen, and where to keep files."""
        if launch.port is None:
            raise InvalidConfiguration("a Redis server needs a port", hint="leave out port = false")
        said = {word.removeprefix("--") for word in launch.argv if word.startswith("--")}
        wanted = {"port": str(launch.port), "bind": launch.host, "dir": str(launch.data_dir)}
        launch.argv += [
            word for name, value in wanted.items() if name not in said for word in (f"--{name}", value)
        ]
        server.publish("REDIS_URL", "${server.url}")

    @hookimpl
    def parse_port(self, server: ServerView, line: str) -> Endpoint | None:
        """Read the port that Redis names as soon as it listens."""
        found = _LISTENS.search(line)
        if found is None or int(found["port"]) not in _PORTS:
            return None
        return Endpoint(server.spec.host, int(found["port"]), "redis")

    @hookimpl
    async def health_check(
        self, server: ServerView, endpoint: Endpoint | None
    ) -> AsyncGenerator[Report, None]:
        """Ask with PING. A server that loads its data is not yet healthy, one that wants a password never."""
        assert endpoint is not None  # pre_spawn has seen to it
        reports = poll(
            lambda: _ping(endpoint),
            interval=self.interval,
            timeout=self.timeout,
            start_timeout=server.spec.startup_timeout / 3,
        )
        async with aclosing(reports):
            async for report in reports:
                yield report

    @hookimpl
    async def on_shutdown(self, server: ServerView) -> None:
        """Have it end by itself. Where that fails, the signal that follows does it."""
        if server.endpoint is None:
            return

        try:
            async with asyncio.timeout(_SHUTDOWN_SECONDS):
                answer = await _ask(server.endpoint, "SHUTDOWN", "SAVE" if self.save else "NOSAVE")
        except (OSError, TimeoutError) as error:
            server.notice("redis_shutdown", f"Redis could not be told to shut down: {error or 'no answer'}")
        else:
            if answer:  # it would have closed the connection without a word
                server.notice("redis_shutdown", f"Redis refused to shut down: {answer}", level="warning")


async def _ping(endpoint: Endpoint) -> Report:
    try:
        answer = await _ask(endpoint, "PING")
    except OSError as error:
        return Unhealthy(f"no answer from {endpoint.url}: {error.strerror or error}")

    if answer == "+PONG":
        return Healthy()

    kind = answer.removeprefix("-").partition(" ")[0]
    known = kind in _BUSY or not answer.startswith("-")
    return Unhealthy(f"{endpoint.url} answers {answer or 'nothing'!r}", permanent=not known)


async def _ask(endpoint: Endpoint, *words: str) -> str:
    """Send one command and return the first line of the answer; "" when the connection is closed instead."""
    reader, writer = await asyncio.open_connection(endpoint.reachable_host, endpoint.port)

    try:
        # https://redis.io/docs/latest/develop/reference/protocol-spec/: an array of bulk strings
        parts = "".join(f"${len(word)}\r\n{word}\r\n" for word in words)
        writer.write(f"*{len(words)}\r\n{parts}".encode())
        await writer.drain()
        return (await reader.readline()).decode(errors="replace").rstrip()
    finally:
        writer.close()
