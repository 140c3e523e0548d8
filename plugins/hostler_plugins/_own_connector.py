"""HTTP connections that lead to the server itself, or are refused before anything goes over them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import aiohttp
from hostler import Endpoint, PortInUse, ServerView
from yarl import URL

from hostler_plugins._connections import close_by_reset, holds_secret, verify_connection, verify_place

if TYPE_CHECKING:
    from aiohttp.client_reqrep import ClientRequest
    from aiohttp.connector import AddrInfoType, Connection
    from aiohttp.tracing import Trace

# Whatever else a request carries may be a credential.
_HARMLESS = frozenset(
    {
        *("accept", "accept-encoding", "accept-language", "cache-control", "connection", "content-length"),
        *("content-type", "host", "last-event-id", "origin", "pragma", "referer", "user-agent"),
    }
)


class _Socket(socket.socket):
    """Does not keep the port of a server that is gone."""

    def close(self) -> None:
        close_by_reset(self)
        super().close()


class OwnConnector(aiohttp.TCPConnector):
    """Looks up who listens before each connection and once more before a request goes over it.

    A request that carries a secret goes to nobody but the server's own processes at its endpoint: not where a
    redirect leads, and not by a second try that was not looked up. Raises PortInUse instead. With `secret`
    each request carries one: in its body, or by a certificate of ours.
    """

    def __init__(
        self, server: ServerView, endpoint: Endpoint, *, secret: bool = False, **options: Any
    ) -> None:
        super().__init__(socket_factory=_new_socket, **options)
        self._secret = secret
        self._server = server
        self._endpoint = endpoint

    async def connect(
        self, req: ClientRequest, traces: list[Trace], timeout: aiohttp.ClientTimeout
    ) -> Connection:
        """A connection for one request, a kept one included."""
        secret = self._carries_secret(req)
        is_own = _place(req.url) == _place(URL(self._endpoint.url, encoded=True))
        if is_own:
            verify_place(self._server, self._endpoint, secret=secret)
        elif secret:
            raise PortInUse(
                f"it redirects to {req.url.host}:{req.url.port}, which is told none of its secrets",
                hint="ask for the place that it redirects to, or leave out the headers",
            )

        connection = await super().connect(req, traces, timeout)
        try:
            if is_own:
                verify_connection(self._server, connection.transport, secret=secret)
        except BaseException:
            connection.close()
            raise

        return connection

    def _carries_secret(self, req: ClientRequest) -> bool:
        return (
            self._secret
            or holds_secret(self._server, str(req.url.relative()))
            or any(
                name.lower() not in _HARMLESS or holds_secret(self._server, value)
                for name, value in req.headers.items()
            )
        )


def _place(url: URL) -> tuple[str, int | None]:
    return (url.host or "").lower(), url.port


def _new_socket(address: AddrInfoType) -> _Socket:
    family, kind, protocol = address[:3]
    return _Socket(family, kind, protocol)
