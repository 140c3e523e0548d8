"""tcp-health: a server is healthy while it accepts connections, and says what it should."""

from __future__ import annotations

import asyncio
import re
import socket
import struct
import sys
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from hostler import (
    Endpoint,
    Healthy,
    IdentityCheck,
    PollOptions,
    PortInUse,
    Report,
    ServerView,
    Unhealthy,
    hookimpl,
    is_secret_name,
    option,
)

from hostler_plugins._connections import (
    close_by_reset,
    holds_secret,
    verify_connection,
    verify_place,
    without_port,
)
from hostler_plugins._option_checks import check_pattern, check_port

_MOST = 64 * 1024
_PEER = struct.Struct("=iII")  # pid, uid, gid


@dataclass(eq=False)
class TcpHealth(PollOptions):
    """Connects to the server: it is healthy if it accepts and, with `expect`, answers.

    In `send` and in what is read, one character stands for one byte: "PING\\r\\n" is sent as these six bytes.
    """

    needs_port: ClassVar[tuple[str, ...]] = ("port", "path")  # the options that make up for it

    host: str | None = option(None, "Host to connect to; default: the server's own")
    port: int | None = option(None, "Port to connect to; default: the server's own")
    path: Path | None = option(
        None, "Path of a Unix socket to connect to instead, relative to the server's cwd"
    )
    send: str | None = option(None, "What to send after the connect; default: nothing")
    expect: str | None = option(
        None,
        "Regular expression that must match in the first 64 KiB received; default: accepting is enough",
    )

    def __post_init__(self) -> None:
        check_port(self.port)
        if self.path is not None and (self.host is not None or self.port is not None):
            raise ValueError("path: a Unix socket has no host and no port; set either")

        for name in ("send", "expect"):
            if not (getattr(self, name) or "").isascii():
                with suppress(UnicodeEncodeError):
                    getattr(self, name).encode("latin-1")
                    continue
                raise ValueError(f"{name}: every letter has to stand for one byte")

        check_pattern(self, "expect")
        super().__post_init__()

    @hookimpl
    async def health_check(
        self, server: ServerView, endpoint: Endpoint | None
    ) -> AsyncGenerator[Report, None]:
        """Connect, and report each attempt."""
        target = self._target(server, endpoint)
        if target is None:
            yield without_port("tcp-health", "set the option port or path")
            return

        async with aclosing(self.poll(lambda: self._ask(server, target), server)) as reports:
            async for report in reports:
                yield report

    def _target(self, server: ServerView, endpoint: Endpoint | None) -> Endpoint | Path | None:
        """Where to connect to; None where there is no port."""
        if self.path is not None:
            return server.spec.cwd / self.path
        host = self.host or (server.spec.host if endpoint is None else endpoint.reachable_host)
        port = self.port or (None if endpoint is None else endpoint.port)
        return None if port is None else Endpoint(host, port)

    async def _ask(self, server: ServerView, target: Endpoint | Path) -> Report:
        where = _shown(target)

        try:
            self._verify(server, target)
            reader, writer = await _connect(target)
        except PortInUse as error:
            return Unhealthy(f"{where}: {error.message}")
        except OSError as error:
            refused = isinstance(error, ConnectionRefusedError)
            return Unhealthy(f"{where}: {'connection refused' if refused else error.strerror or error}")

        try:
            # Once more: the name may have led elsewhere than what was looked up, or the port changed hands.
            self._verify(server, target, writer)
            wrong = await self._talk(reader, writer)
        except PortInUse as error:
            wrong = error.message
        except OSError as error:
            wrong = f"the connection broke off: {error.strerror or error}"
        finally:
            # Who closes first keeps the port in TIME_WAIT, and the next start may find it in use.
            with suppress(OSError), writer.get_extra_info("socket").dup() as connection:
                close_by_reset(connection)
            writer.close()

        return Unhealthy(f"{where}: {wrong}") if wrong else Healthy({"address": where})

    def _verify(
        self, server: ServerView, target: Endpoint | Path, writer: asyncio.StreamWriter | None = None
    ) -> None:
        """Raise where somebody else listens; at a place of the options that matters only for a secret."""
        secret = self.send is not None and _has_secret(server, self.send)
        if isinstance(target, Endpoint):
            if (secret or self.port is None) and writer is None:
                verify_place(server, target, secret=secret)
            elif secret or self.port is None:
                verify_connection(server, writer, secret=secret)
        elif secret and writer is not None and server.spec.identity is not IdentityCheck.OFF:
            _verify_peer(server, writer)

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


def _has_secret(server: ServerView, text: str) -> bool:
    """Whether there is one that is known, or a word that announces one (AUTH, PASS, Authorization)."""
    return holds_secret(server, text) or any(map(is_secret_name, re.findall(r"[\w-]+", text)))


def _shown(target: Endpoint | Path) -> str:
    if isinstance(target, Path):
        return str(target)
    return f"[{target.host}]:{target.port}" if ":" in target.host else f"{target.host}:{target.port}"


async def _connect(target: Endpoint | Path) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    if isinstance(target, Path):
        return await asyncio.open_unix_connection(target)
    return await asyncio.open_connection(target.host, target.port)


def _verify_peer(server: ServerView, writer: asyncio.StreamWriter) -> None:
    """Raise PortInUse unless a process of the server made the Unix socket; where nobody can tell, too."""
    pid = None
    if sys.platform == "linux":
        peer = writer.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _PEER.size)
        pid = _PEER.unpack(peer)[0]
    if pid not in server.members():
        who = "another process" if pid is None else f"another process (pid {pid})"
        raise PortInUse(f"{who} listens there in its place, and is told no secret")
