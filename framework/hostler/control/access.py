"""Who gets in: over the unix socket our own user and root, as the kernel says; over TCP who has a token."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from collections import deque
from collections.abc import Callable, Iterator
from time import monotonic
from typing import TYPE_CHECKING, Protocol, cast

from hostler.control.page_tokens import PageTokens
from hostler.control.problems import Refused
from hostler.control.tcp_listener import TcpListener, bracketed
from hostler.control.tcp_peer import peer_user
from hostler.control.tokens import SCOPES, Scope

if TYPE_CHECKING:
    from aiohttp import web

_UCRED = struct.Struct("3i")  # pid, uid, gid
_XUCRED = struct.Struct("2I")  # version, uid
_LOCAL_PEERCRED = 1
_SOL_LOCAL = 0
_WRONG_TOKENS = 5  # so many in this time are answered at once
_WRONG_SECONDS = 1.0


def peer_uid(connection: socket.socket) -> int:
    """The user of the process at the other end of a unix socket. OSError where the system does not tell."""
    if sys.platform == "linux":
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        return int(_UCRED.unpack(data)[1])
    data = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)
    return int(_XUCRED.unpack_from(data)[1])


class Access(Protocol):
    """Decides for one listening socket who may connect, and what each request may ask for."""

    def accepts(self, transport: asyncio.Transport) -> bool:
        """Whether a new connection is read at all."""

    async def scopes(self, request: web.BaseRequest) -> frozenset[Scope]:
        """What a request may ask for. Raises Refused."""


class UnixAccess:
    """That of the control socket: our own user and root may do all."""

    def accepts(self, transport: asyncio.Transport) -> bool:
        """Look who it is."""
        try:
            # What uvloop gives has a descriptor, and nothing else of a socket. No other one may be free.
            connection = socket.socket(fileno=transport.get_extra_info("socket").fileno())
            try:
                return peer_uid(connection) in {0, os.geteuid()}
            finally:
                connection.detach()
        except OSError:  # on macOS already of a client that has gone
            return False

    async def scopes(self, request: web.BaseRequest) -> frozenset[Scope]:
        """All of them."""
        return SCOPES["connect"]


class TcpAccess:
    """That of a TCP listener: requests from no page of another site, which say one of our tokens.

    A page of another site can have a browser send requests here, under a name that it made resolve to this
    address too: so the host has to be this address, not just anything that led here.
    """

    def __init__(self, listener: TcpListener) -> None:
        self._listener = listener
        self._wrong: deque[float] = deque(maxlen=_WRONG_TOKENS)

    def accepts(self, transport: asyncio.Transport) -> bool:
        """Everybody: what they ask for needs a token."""
        return True

    async def scopes(self, request: web.BaseRequest) -> frozenset[Scope]:
        """What its token allows; nothing without one. Raises Refused."""
        ours = set(self._hosts(request))
        given = [host.lower() for host in request.headers.getall("Host", [])]
        # A target that is a whole URL would go before Host.
        if len(given) != 1 or given[0] not in ours or not request.raw_path.startswith("/"):
            raise Refused("wrong_host", f"the Host of a request is {self._listener.url.partition('//')[2]}")
        scheme = self._listener.url.partition(":")[0]
        _refuse_another(request, "Origin", {f"{scheme}://{host}" for host in ours})
        _refuse_another(request, "Sec-Fetch-Site", {"same-origin", "none"})
        return await self._allowed(request.headers.getall("Authorization", []))

    def _scopes_of(self, token: str) -> frozenset[Scope]:
        return self._listener.tokens.scopes_of(token)

    def _hosts(self, request: web.BaseRequest) -> Iterator[str]:
        """What may stand in Host: the address that was connected to, that of the spec, and localhost."""
        assert self._listener.spec.address is not None
        own = () if request.transport is None else request.transport.get_extra_info("sockname")[:1]
        for host in (*own, self._listener.spec.address[0], "localhost"):
            yield f"{bracketed(host)}:{self._listener.port}".lower()

    async def _allowed(self, given: list[str]) -> frozenset[Scope]:
        if not given:
            return frozenset()
        scheme, _, token = given[0].partition(" ")
        scopes = self._scopes_of(token.strip())
        if len(given) == 1 and scheme.lower() == "bearer" and scopes:
            return scopes
        now = monotonic()
        is_guessing = len(self._wrong) == _WRONG_TOKENS and now - self._wrong[0] < _WRONG_SECONDS
        self._wrong.append(now)
        if is_guessing:
            await asyncio.sleep(_WRONG_SECONDS)
        raise Refused("wrong_token", "this is no token of this hostler; a new one has new tokens")


class PageAccess(TcpAccess):
    """That of the dashboard: the same, with the tokens of its pages, for our own user and root.

    The code for the first token is an argument of a browser, so others may have read it. Where the system
    does not tell whose a connection is, everybody may connect.
    """

    def __init__(self, listener: TcpListener, tokens: PageTokens) -> None:
        super().__init__(listener)
        self._tokens = tokens

    def accepts(self, transport: asyncio.Transport) -> bool:
        """Look who it is."""
        user = peer_user(transport.get_extra_info("peername"), transport.get_extra_info("sockname"))
        return user in {None, 0, os.geteuid()}

    def _scopes_of(self, token: str) -> frozenset[Scope]:
        return self._tokens.scopes_of(token)


def _refuse_another(request: web.BaseRequest, name: str, allowed: set[str]) -> None:
    """Raise Refused where a header has something else; browsers tell by these where a request comes from."""
    for value in request.headers.getall(name, []):
        if value.lower() not in allowed:
            raise Refused("not_allowed", f"requests of other sites are not answered ({name})")


class Gate(asyncio.Protocol):
    """The first protocol of each connection: hands ours to `inner`, closes others before they are read."""

    def __init__(
        self, accepts: Callable[[asyncio.Transport], bool], inner: Callable[[], asyncio.Protocol]
    ) -> None:
        self._accepts = accepts
        self._inner = inner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Look who it is."""
        transport = cast("asyncio.Transport", transport)  # that of uvloop is no subclass
        if not self._accepts(transport):
            transport.abort()
            return
        inner = self._inner()
        transport.set_protocol(inner)
        inner.connection_made(transport)
