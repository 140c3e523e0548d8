"""One listening socket of the control API: nothing is imported for it before its first client."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING

import anyio

from hostler.control.shortage import NO_DESCRIPTOR

if TYPE_CHECKING:
    import ssl

    from hostler.control.http_server import HttpServer

_LOG = logging.getLogger("hostler.control")
_REFUSE_SECONDS = 1.0
_PATIENCE = 10.0
_REST = 0.1
_PIECES, _PIECE = 16, 4096  # of a request: where memory is short, larger ones may not be had
_PROBLEM = (
    b'{"type":"/problems/internal","title":"hostler failed","status":500,'
    b'"detail":"hostler cannot answer; its log has the reason",'
    b'"hint":"kill %d stops its servers and ends it"}'
)
# By hand, as nothing is there that would make it.
_FAILED = (
    b"HTTP/1.1 500 Internal Server Error\r\nContent-Type: application/problem+json\r\nConnection: close\r\n"
    b"Content-Length: %d\r\n\r\n%s"
)


class LazyServer:
    """Waits for the first client, which waits for what `make` imports; `begin` may follow `pause`."""

    def __init__(self, make: Callable[[], Awaitable[HttpServer]], tls: ssl.SSLContext | None = None) -> None:
        self._make = make
        self._tls = tls
        self._listener: socket.socket | None = None
        self._http: HttpServer | None = None
        self._opening: asyncio.Task[None] | None = None

    def begin(self, listener: socket.socket) -> None:
        """Wait for clients of this socket."""
        self._listener = listener
        asyncio.get_running_loop().add_reader(listener.fileno(), self._on_client, listener)

    def pause(self) -> None:
        """Accept nobody any more, and close the socket; who is connected stays. Idempotent."""
        listener, self._listener = self._listener, None
        if listener is None:
            return
        asyncio.get_running_loop().remove_reader(listener.fileno())
        if self._opening is not None:
            self._opening.cancel()
        if self._http is not None:
            self._http.stop_listening()
        listener.close()

    async def close(self) -> None:
        """End what is still under way, too."""
        self.pause()
        if self._opening is not None:
            await asyncio.wait({self._opening})
        if self._http is not None:
            await self._http.close()

    @property
    def idle_for(self) -> float:
        """The seconds since a client was connected last: 0 while one is, infinite when there was none."""
        if self._opening is not None and not self._opening.done():
            return 0.0
        return float("inf") if self._http is None else self._http.idle_for

    def _on_client(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(listener.fileno())
        self._opening = asyncio.create_task(self._open(listener), name="hostler control")

    async def _open(self, listener: socket.socket) -> None:
        """Serve the socket. The import takes 0.1 s, in which supervision goes on."""
        if self._http is None:
            try:
                self._http = await self._make_patiently()
            except Exception:  # noqa: BLE001 - whatever it is, clients must not wait for ever
                _LOG.exception("no client of the control API can be answered")
                await self._refuse_all(listener)
                return
        if listener is self._listener:
            await self._http.listen(listener, self._tls)

    async def _make_patiently(self) -> HttpServer:
        """Make it; servers that start may have taken all descriptors for a moment."""
        until = monotonic() + _PATIENCE
        while True:
            try:
                return await self._make()
            except OSError as error:
                if error.errno not in NO_DESCRIPTOR or monotonic() > until:
                    raise
            await asyncio.sleep(_REST)

    async def _refuse_all(self, listener: socket.socket) -> None:
        """Answer those who wait, and wait for others: what is missing may be there then."""
        waiting = []
        with suppress(OSError):
            while listener is self._listener:
                waiting.append(listener.accept()[0])
        await asyncio.gather(*map(_refuse, waiting))
        await asyncio.sleep(_REST)  # no descriptor may be free to accept the next one
        if listener is self._listener:
            self.begin(listener)


async def _refuse(connection: socket.socket) -> None:
    """Read the request, as closing before that would take the answer away from the client."""
    problem = _PROBLEM % os.getpid()
    with connection, suppress(OSError, TimeoutError, MemoryError):
        connection.setblocking(False)
        async with asyncio.timeout(_REFUSE_SECONDS):
            # Not sock_recv of the loop, which imports ssl: there may be no memory for that.
            await anyio.wait_readable(connection)
        with suppress(BlockingIOError):
            for _ in range(_PIECES):
                connection.recv(_PIECE)
        connection.send(_FAILED % (len(problem), problem))
