"""The control API over HTTP: aiohttp reads and writes, the table of routes says what requests mean."""

from __future__ import annotations

import asyncio
import json
import logging
import socket
import traceback
from collections.abc import Callable, Sequence
from functools import partial
from secrets import token_hex
from time import monotonic
from typing import TYPE_CHECKING
from urllib.parse import parse_qs

import msgspec

# Not aiohttp.web: its routes, files and command line take 1.3 MiB, and a fifth of the import.
from aiohttp.web_protocol import RequestHandler
from aiohttp.web_request import BaseRequest
from aiohttp.web_response import Response, StreamResponse
from aiohttp.web_server import Server

from hostler import ServerError, __version__
from hostler.control.access import Access, Gate
from hostler.control.connections import Connections
from hostler.control.event_stream import EventStream
from hostler.control.log_stream import LogStream
from hostler.control.problems import Refused, refused
from hostler.control.request_counts import RequestCounts
from hostler.control.routes import Call, Route, Text, find, read_body, read_query
from hostler.control.tokens import Scope
from hostler.control.whole_log import JSON_LINES, WholeLog

if TYPE_CHECKING:
    import ssl

_LOG = logging.getLogger("hostler.control")
_LARGEST_BODY = 64 * 2**10
_IDLE_SECONDS = 75.0  # also with half of a request after the first one
_WRITE_SECONDS = 30.0
_BODY_SECONDS = 30.0
_HEAD = {"Hostler-Version": __version__, "Hostler-Api": "1", "Cache-Control": "no-store"}
_HEAD |= {"X-Content-Type-Options": "nosniff", "Cross-Origin-Resource-Policy": "same-origin"}
_HEAD |= {"Server": "hostler"}  # not the versions of what it is made of
_CHALLENGES = {"no_token": "Bearer", "wrong_token": 'Bearer error="invalid_token"'}
_TLS_SECONDS = 10.0
_SSE = {"Content-Type": "text/event-stream; charset=utf-8"}
_LINES = {"Content-Type": JSON_LINES}


class _Connection(RequestHandler):
    """One connection. What is no HTTP is not logged, as aiohttp would: it may have a token in it."""

    __slots__ = ()

    def handle_error(
        self,
        request: BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> StreamResponse:
        """The answer to what is no HTTP; nothing comes after it."""
        if request.writer.output_size > 0:
            raise ConnectionError("half an answer was sent")
        response = _problem(Refused("malformed", "what came is no HTTP that can be read"))
        response.force_close()
        return response


class _Server(Server):
    """Makes a `_Connection` of each connection, and notes when the last one ended."""

    left_at = float("-inf")

    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        """Forget a connection."""
        super().connection_lost(handler, exc)
        self.left_at = monotonic()

    def __call__(self) -> RequestHandler:
        return _Connection(self, loop=self._loop, **self._kwargs)


class HttpServer:
    """Serves one table of routes on a listening socket, from `listen` to `close`."""

    def __init__(self, routes: Sequence[Route], access: Access, counts: RequestCounts) -> None:
        self._routes = routes
        self._counts = counts
        self._access = access
        self._http = _Server(
            self._handle,
            handler_cancellation=True,
            access_log=None,
            keepalive_timeout=_IDLE_SECONDS,
            tcp_keepalive=False,
            lingering_time=0,
        )
        self._connections = Connections(self._http)
        self._listening: asyncio.Server | None = None

    async def listen(self, listener: socket.socket, tls: ssl.SSLContext | None = None) -> None:
        """Accept connections from now on, as `access` decides."""
        loop = asyncio.get_running_loop()
        if listener.family == socket.AF_UNIX:
            self._listening = await loop.create_unix_server(self._gate, sock=listener)
        else:
            wait = None if tls is None else _TLS_SECONDS
            self._listening = await loop.create_server(
                self._gate, sock=listener, ssl=tls, ssl_handshake_timeout=wait
            )

    def _gate(self) -> Gate:
        return Gate(self._accepts, self._connection)

    def _accepts(self, transport: asyncio.Transport) -> bool:
        return not self._connections.is_full and self._access.accepts(transport)

    def _connection(self) -> RequestHandler:
        connection = self._http()
        self._connections.add(connection)
        return connection

    def stop_listening(self) -> None:
        """Accept nobody any more, and close the socket; who is connected stays."""
        if self._listening is not None:
            self._listening.close()

    @property
    def idle_for(self) -> float:
        """The seconds since somebody was connected last: 0 while somebody is."""
        return 0.0 if self._http.connections else monotonic() - self._http.left_at

    async def close(self, seconds: float = 1.0) -> None:
        """Accept nobody any more, and end what is still under way after that time."""
        self.stop_listening()
        self._http.pre_shutdown()
        await self._http.shutdown(seconds)

    async def _handle(self, request: BaseRequest) -> StreamResponse:
        with self._connections.asking(request.protocol):
            routes: list[Route] = []  # the one that answers, once that is known
            response = await self._response(request, routes)
            if not response.prepared:  # a stream was counted when it began
                self._counts.note(routes[0] if routes else None, response.status)
            return await _sent(request, response)

    async def _response(self, request: BaseRequest, routes: list[Route]) -> StreamResponse:
        try:
            return await self._answer(request, routes)
        except Refused as error:
            return _problem(error)
        except ServerError as error:
            return _problem(refused(error))
        except TimeoutError:
            return _problem(Refused("timed_out", "it is not done in time, and goes on"))
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception as error:  # noqa: BLE001 - a fault in one answer must not end the connection without one
            number = _log_fault(error)
            return _problem(Refused("internal", f"hostler failed; its log has the reason, number {number}"))

    async def _answer(self, request: BaseRequest, routes: list[Route]) -> StreamResponse:
        streams = "text/event-stream" in request.headers.get("Accept", "")
        scopes = await self._access.scopes(request)
        route, parts = find(self._routes, request.method, request.rel_url.raw_path)
        routes.append(route)
        _require(route, scopes)
        accept = ",".join(request.headers.getall("Accept", ()))
        if not route.has_room:
            is_long = streams or (route.lines and JSON_LINES in accept)
            self._connections.refuse_too_many(streams=is_long)
        query = parse_qs(request.rel_url.raw_query_string, keep_blank_values=True)
        call = Call(
            parts,
            read_query(route, query),
            read_body(route, await _read(request)),
            streams=streams,
            last_event=request.headers.get("Last-Event-ID", ""),
            accept=accept,
        )
        result = await route.handler(call)
        if isinstance(result, EventStream | LogStream | WholeLog):
            begun = partial(self._counts.note, route, 200)
            with self._connections.streaming(), self._counts.streaming():
                return await _stream(request, result, begun)
        status, value = result
        return _answered(status, value)


def _log_fault(error: Exception) -> str:
    """Log why a request failed; returns the number that stands there."""
    number = token_hex(4)
    # Without the text of the error: nothing masks it, and it may quote a request or a secret.
    where = "".join(traceback.format_tb(error.__traceback__))
    kind = type(error).__name__
    _LOG.error("a request to the control API failed, number %s: %s\n%s", number, kind, where)
    return number


def _require(route: Route, scopes: frozenset[Scope]) -> None:
    """Raise Refused for a request that may not ask for this."""
    if route.scope is None or route.scope in scopes:
        return
    if not scopes:
        raise Refused("no_token", "over TCP a request needs the header Authorization: Bearer TOKEN")
    raise Refused("not_allowed", f"this needs the token of the scope {route.scope}")


async def _read(request: BaseRequest) -> bytes:
    if not request.body_exists:
        return b""
    if request.content_type != "application/json":
        raise Refused("media_type", f"expected application/json, found {request.content_type}")
    data = b""
    async with asyncio.timeout(_BODY_SECONDS):
        while len(data) <= _LARGEST_BODY and (more := await request.content.read(_LARGEST_BODY + 1)):
            data += more
    if len(data) > _LARGEST_BODY:
        raise Refused("too_large", f"the most is {_LARGEST_BODY // 2**10} KiB")
    return data


async def _sent(request: BaseRequest, response: StreamResponse) -> StreamResponse:
    """Send it, to a client that takes it."""
    try:
        async with asyncio.timeout(_WRITE_SECONDS):
            await response.prepare(request)
            await response.write_eof()
    except TimeoutError:
        if request.transport is not None:
            request.transport.abort()
    return response


async def _stream(
    request: BaseRequest, stream: EventStream | LogStream | WholeLog, begun: Callable[[], None]
) -> StreamResponse:
    response = StreamResponse(headers=_HEAD | (_LINES if isinstance(stream, WholeLog) else _SSE))

    async def write(data: bytes) -> None:
        if not response.prepared:
            await response.prepare(request)
            begun()
        await response.write(data)

    try:
        await stream.send_to(write, lambda: _is_idle(request.transport))
    except ConnectionError:
        raise
    except Exception as error:
        if not response.prepared:
            raise
        # No other answer can follow, and what waits for this client is not waited for.
        if isinstance(error, Refused):
            _LOG.error("an answer of the control API was cut off: %s", error)
        elif not isinstance(error, TimeoutError):
            _log_fault(error)
        if request.transport is not None:
            request.transport.abort()
    return response


def _is_idle(transport: asyncio.Transport | None) -> bool:
    return transport is not None and transport.get_write_buffer_size() == 0


def _answered(status: int, value: object) -> Response:
    if value is None:
        return Response(status=status, headers=_HEAD)
    if isinstance(value, Text):
        headers = _HEAD | dict(value.headers) | {"Content-Type": value.content_type}
        return Response(status=status, body=value.body, headers=headers)
    body = msgspec.json.encode(value)
    if not body.isascii():  # as `--json` prints it: the same bytes, and none that a terminal obeys
        body = json.dumps(msgspec.json.decode(body), separators=(",", ":")).encode()
    return Response(status=status, body=body, content_type="application/json", headers=_HEAD)


def _problem(error: Refused) -> Response:
    body = msgspec.json.encode(error.problem)
    headers = dict(_HEAD)
    if error.problem.retry_after is not None:
        headers["Retry-After"] = str(error.problem.retry_after)
    if error.allowed:
        headers["Allow"] = error.allowed
    if challenge := _CHALLENGES.get(error.kind):
        headers["WWW-Authenticate"] = challenge
    return Response(
        status=error.problem.status, body=body, content_type="application/problem+json", headers=headers
    )
