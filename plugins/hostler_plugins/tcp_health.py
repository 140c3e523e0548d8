"""tcp-health: a server is healthy while it accepts connections, and says what it should."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import ClassVar

from hostler import (
    Duration,
    Endpoint,
    Healthy,
    InvalidConfiguration,
    PortInUse,
    Report,
    ServerView,
    Unhealthy,
    hookimpl,
    option,
    poll,
)

from hostler_plugins.lingering import close_by_reset
from hostler_plugins.thresholds import check_pattern, check_positive

_MOST = 64 * 1024
_NO_PORT = "tcp-health needs a server with a port"


@dataclass(eq=False)
class TcpHealth:
    """Connects again and again: healthy is a server that accepts and, where it is asked, answers.

    `send` and what is read stand for bytes, one letter for one byte: "PING\\r\\n" is sent as it reads.
    """

    needs_port: ClassVar[str] = "port"  # the option that makes up for it

    host: str | None = option(None, "host to connect to; default: where the server listens")
    port: int | None = option(None, "port to connect to; default: where the server listens")
    send: str | None = option(None, "what is sent once it is connected; default: nothing")
    expect: str | None = option(
        None,
        "regular expression that has to be found in the first 64 KiB it sends; default: to accept is enough",
    )
    interval: Duration = option(Duration(10), "how often it is asked once it is ready; before that, sooner")
    timeout: Duration = option(
        Duration(5),
        "how long an answer may take; until it is ready, no longer than a third of startup_timeout",
    )
    successes: int = option(1, "how many good answers in a row make it healthy")
    failures: int | None = option(
        None, "how many bad answers in a row are a crash; default: the server's max_connection_failures"
    )

    def __post_init__(self) -> None:
        if self.port is not None and not 1 <= self.port <= 65535:
            raise ValueError(f"port: expected a number from 1 to 65535, found {self.port}")

        for name in ("send", "expect"):
            if not (getattr(self, name) or "").isascii():
                with suppress(UnicodeEncodeError):
                    getattr(self, name).encode("latin-1")
                    continue

                raise ValueError(f"{name}: every letter has to stand for one byte")

        check_pattern(self, "expect")
        check_positive(self, "interval", "timeout", "successes", "failures")

    @hookimpl
    async def health_check(
        self, server: ServerView, endpoint: Endpoint | None
    ) -> AsyncGenerator[Report, None]:
        """Connect, and report each attempt."""
        host = self.host or (server.spec.host if endpoint is None else endpoint.reachable_host)
        port = self.port or (None if endpoint is None else endpoint.port)

        if port is None:
            yield _without_port()
            return

        reports = poll(
            lambda: self._ask(server, host, port),
            interval=self.interval,
            timeout=self.timeout,
            start_timeout=server.spec.startup_timeout / 3,
            successes=self.successes,
            failures=self.failures,
        )

        async with aclosing(reports):
            async for report in reports:
                yield report

    async def _ask(self, server: ServerView, host: str, port: int) -> Report:
        where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

        try:
            self._verify(server, host, port)
            reader, writer = await asyncio.open_connection(host, port)
        except PortInUse as error:
            return Unhealthy(f"{where}: {error.message}")
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            return Unhealthy(f"{where}: {'connection refused' if refused else error.strerror or error}")

        try:
            self._verify(server, host, port)
            wrong = await self._talk(reader, writer)
        except PortInUse as error:
            wrong = error.message
        except OSError as error:
            wrong = f"the connection broke off: {error.strerror or error}"
        finally:
            with writer.get_extra_info("socket").dup() as connection:
                close_by_reset(connection)

            writer.close()

        return Unhealthy(f"{where}: {wrong}") if wrong else Healthy({"address": where})

    def _verify(self, server: ServerView, host: str, port: int) -> None:
        """Raise where somebody else listens; at the option's port that matters only for a secret."""
        secret = self.send is not None and server.is_secret(self.send)

        if secret or self.port is None:
            server.verify_listener(secret=secret, at=Endpoint(host, port))

    async def _talk(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> str:
        """What is wrong with what it says; "" for nothing."""
        if self.send is not None:
            writer.write(self.send.encode("latin-1"))
            await writer.drain()

        if self.expect is None:
            return ""

        pattern, data = re.compile(self.expect.encode("latin-1")), b""

        while len(data) < _MOST and (piece := await reader.read(_MOST - len(data))):
            data += piece

            if pattern.search(data):
                return ""

        said = repr(data[:80].decode("latin-1")) if data else "nothing"
        return f"it says {said}, in which nothing matches {self.expect!r}"


def _without_port() -> Unhealthy:
    error = InvalidConfiguration(_NO_PORT, hint="give the server a port, or set the option port")
    return Unhealthy(error.message, permanent=True, error=error)
