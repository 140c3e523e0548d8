"""The dashboard's own listener over TCP: opened when somebody asks for it, with a code that works once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from secrets import token_urlsafe
from time import monotonic

from hostler import ControlSpec, EnvironmentSetupFailed
from hostler.control.access import PageAccess
from hostler.control.dashboard_shapes import (
    DashboardAddress,
    DashboardChoice,
    DashboardCode,
    DashboardNonce,
    DashboardProofs,
    DashboardToken,
)
from hostler.control.http_server import HttpServer
from hostler.control.page_tokens import PageTokens
from hostler.control.problems import Refused
from hostler.control.request_counts import RequestCounts
from hostler.control.routes import Call, Route
from hostler.control.rows import format_time
from hostler.control.tcp_listener import TcpListener
from hostler.control.web_files import WebFiles

CODE_SECONDS = 60.0
UNUSED_SECONDS = 600.0
_HOST = "127.0.0.1"
_BYTES = 32
_MOST_CODES = 64


class _Opened:
    """One listener of the dashboard and what answers there, from `open` to `close`."""

    def __init__(self, listener: TcpListener, tokens: PageTokens, http: HttpServer) -> None:
        self.listener = listener
        self.tokens = tokens
        self._http = http
        self._asked_at = monotonic()
        self._stays = False

    def ask(self, *, keep: bool) -> None:
        """Note that somebody wants to come."""
        self._asked_at = monotonic()
        self._stays = self._stays or keep

    @property
    def unused_for(self) -> float:
        """The seconds since somebody was connected, or wanted to; 0 where it stays in any case."""
        return 0.0 if self._stays else min(self._http.idle_for, monotonic() - self._asked_at)

    @property
    def idle_for(self) -> float:
        """The seconds since a client was connected last."""
        return self._http.idle_for

    async def close(self) -> None:
        """Answer nobody any more."""
        await self._http.close()


class Dashboard:
    """Opens the listener, gives out codes and takes them for a token, and closes it when nobody comes.

    `routes` are those of the API, which the page uses. `path` is the file that has the page found again
    when hostler is killed and started anew.
    """

    def __init__(self, routes: Callable[[], Sequence[Route]], counts: RequestCounts, path: str) -> None:
        self._routes = routes
        self._path = path
        self._counts = counts
        self._codes: dict[bytes, float] = {}  # by digest: the time of the end
        self._opened: _Opened | None = None
        self._opening = asyncio.Lock()
        self._closing: asyncio.Task[None] | None = None
        self._ended = False

    async def close(self) -> None:
        """Answer nobody any more, and open nothing any more."""
        async with self._opening:  # who opens it, or closes it as nobody comes, has done so
            self._ended = True
            closing, self._closing = self._closing, None
            if closing is not None:
                closing.cancel()
                await asyncio.wait({closing})
            await self._close()

    @property
    def idle_for(self) -> float:
        """The seconds since a client was connected last: 0 while one is, infinite when there was none."""
        return float("inf") if self._opened is None else self._opened.idle_for

    def routes(self) -> Iterator[Route]:
        """Its part of the table."""
        yield Route("POST", "/v1/dashboard", self.open, DashboardAddress, body=DashboardChoice)

    def _routes_of_page(self) -> Iterator[Route]:
        """What its own listener answers beside the API."""
        yield Route(
            "POST",
            "/v1/dashboard/token",
            self.exchange,
            DashboardToken,
            body=DashboardCode,
            allowed="everybody",
        )
        yield Route(
            "POST",
            "/v1/dashboard/proof",
            self.prove,
            DashboardProofs,
            body=DashboardNonce,
            allowed="everybody",
        )
        yield from WebFiles().routes()

    async def open(self, call: Call) -> tuple[int, object]:
        """Open the dashboard, where it is not yet: the address of its page, with a code that works once."""
        async with self._opening:
            opened = self._opened or await self._open()
            opened.ask(keep=call.body.keep)
        code = token_urlsafe(_BYTES)
        now = monotonic()
        left = [(digest, end) for digest, end in self._codes.items() if end > now]
        self._codes = dict(left[-_MOST_CODES + 1 :]) | {_digest(code): now + CODE_SECONDS}
        expires = datetime.now(UTC) + timedelta(seconds=CODE_SECONDS)
        url = f"{opened.listener.url}/#{code}"
        return 200, DashboardAddress(url=url, expires=format_time(expires))

    async def exchange(self, call: Call) -> tuple[int, object]:
        """Take a code for a token."""
        end = self._codes.pop(_digest(call.body.code), 0.0)
        if self._opened is None or end <= monotonic():
            raise Refused("wrong_token", "this code was used, or is older than a minute: hostler dashboard")
        return 200, DashboardToken(token=self._opened.tokens.new())

    async def prove(self, call: Call) -> tuple[int, object]:
        """Show a page that this hostler knows its token, without being told that."""
        proofs = [] if self._opened is None else self._opened.tokens.proofs(call.body.nonce)
        return 200, DashboardProofs(proofs=proofs)

    async def restore(self) -> None:
        """Listen where a hostler did that was killed, for the pages that are still open."""
        async with self._opening:
            tokens = await asyncio.to_thread(PageTokens.read, self._path)
            if tokens is None or self._opened is not None:
                return
            try:
                await self._open(tokens)
            except EnvironmentSetupFailed:  # somebody else has that port by now
                tokens.forget()

    async def _open(self, left: PageTokens | None = None) -> _Opened:
        if self._ended:
            raise Refused("shutting_down", "this hostler is about to end")
        spec = ControlSpec(tcp=f"{_HOST}:{0 if left is None else left.port}")
        listener = await asyncio.to_thread(TcpListener.open, spec)
        tokens = PageTokens(self._path, listener.port) if left is None else left
        routes = (*self._routes(), *self._routes_of_page())
        http = HttpServer(routes, PageAccess(listener, tokens), self._counts)
        try:
            await http.listen(listener.listener)
        except BaseException:
            listener.listener.close()
            raise
        self._opened = _Opened(listener, tokens, http)
        self._closing = asyncio.create_task(self._close_unused(self._opened), name="hostler dashboard")
        return self._opened

    async def _close_unused(self, opened: _Opened) -> None:
        while True:
            async with self._opening:  # who is given a code just now can use it
                left = UNUSED_SECONDS - opened.unused_for
                if left <= 0:
                    await self._close()
                    return
            await asyncio.sleep(left)

    async def _close(self) -> None:
        opened, self._opened = self._opened, None
        self._codes.clear()
        if opened is not None:
            opened.tokens.forget()
            await opened.close()


def _digest(code: str) -> bytes:
    # Looked up by this, the time that takes tells nothing of the codes.
    return sha256(code.encode(errors="surrogateescape")).digest()
