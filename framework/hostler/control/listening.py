"""One listening socket of the control API: nothing is imported for it before its first client."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import ssl

    from hostler.control.http_server import HttpServer


class Listening:
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
    def is_busy(self) -> bool:
        """Whether a client is connected."""
        return self._http is not None and self._http.is_busy

    def _on_client(self, listener: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(listener.fileno())
        self._opening = asyncio.create_task(self._open(listener), name="hostler control")

    async def _open(self, listener: socket.socket) -> None:
        """Serve the socket. The import takes 0.1 s, in which supervision goes on."""
        if self._http is None:
            self._http = await self._make()
        if listener is self._listener:
            await self._http.listen(listener, self._tls)
