"""The control API for programs without an event loop, on `http.client`."""

from __future__ import annotations

import http.client
import os
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import wraps
from types import TracebackType
from typing import TYPE_CHECKING, Concatenate, ParamSpec, Self, TypeVar

from hostler.client import calls
from hostler.client.connection import Connection, await_answer, open_socket, read_lines
from hostler.client.errors import Unreachable
from hostler.client.feed import Feed
from hostler.client.place import Place
from hostler.client.requests import Call, Stream, WholeLog
from hostler.client.stream_state import StreamState
from hostler.client.wait import Until, Wait
from hostler.control.log_shapes import LogEnd, LogLine
from hostler.control.server_shapes import ServerRow

if TYPE_CHECKING:
    import ssl


P = ParamSpec("P")
T = TypeVar("T")

_MOST_IDLE = 2  # hostler has 64 connections for all its clients


def blocking(build: Callable[P, Call[T]]) -> Callable[Concatenate[Client, P], T]:
    """The method that makes a call and returns its answer."""

    @wraps(build)
    def method(self: Client, /, *arguments: P.args, **named: P.kwargs) -> T:
        return self._send(build(*arguments, **named))

    return method


def reading(build: Callable[P, WholeLog]) -> Callable[Concatenate[Client, P], Iterator[LogLine | LogEnd]]:
    """The method that gives all lines while they are read."""

    @wraps(build)
    def method(self: Client, /, *arguments: P.args, **named: P.kwargs) -> Iterator[LogLine | LogEnd]:
        return read_lines(self._place, build(*arguments, **named))

    return method


def following(build: Callable[P, Stream[T]]) -> Callable[Concatenate[Client, P], Feed[T]]:
    """The method that follows a stream."""

    @wraps(build)
    def method(self: Client, /, *arguments: P.args, **named: P.kwargs) -> Feed[T]:
        return self._feed(build(*arguments, **named))

    return method


class Client:
    """Calls the hostler that supervises a configuration file, or that listens at a `socket` or an `address`.

    An address is that of its TCP listener, such as "127.0.0.1:4711", and takes the `token`; for one with
    "https://" `tls` says which certificates are trusted, by default those of the system. `timeout` are the
    seconds that an answer may take which waits for nothing. Threads may share a client; `with` closes its
    connections. Errors of servers are raised as hostler's own; besides them NotRunning, Unreachable,
    RequestRefused and TimeoutError.
    """

    def __init__(
        self,
        configuration: str | os.PathLike[str] = "hostler.toml",
        *,
        socket: str | os.PathLike[str] | None = None,
        address: str | None = None,
        token: str | None = None,
        timeout: float = 30.0,
        environ: Mapping[str, str] | None = None,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._place = Place.choose(configuration, socket, address, token, environ, tls)
        self._timeout = timeout
        self._idle: deque[Connection] = deque()
        self._version = ""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close what connections are kept. The client can still be used."""
        with suppress(IndexError):
            while True:
                self._idle.pop().close()

    @property
    def version(self) -> str:
        """The version of the hostler that answered last; "" before."""
        return self._version

    about = blocking(calls.about)
    servers = blocking(calls.servers)
    server = blocking(calls.server)
    crashes = blocking(calls.crashes)
    crash = blocking(calls.crash)
    memory = blocking(calls.memory)
    processes = blocking(calls.processes)
    work = blocking(calls.work)
    plugins = blocking(calls.plugins)
    connection = blocking(calls.connection)
    events = blocking(calls.events)
    log = blocking(calls.log)
    read_log = reading(calls.read_log)
    follow_events = following(calls.follow_events)
    follow_log = following(calls.follow_log)
    start = blocking(calls.start)
    stop = blocking(calls.stop)
    restart = blocking(calls.restart)
    add = blocking(calls.add)
    remove = blocking(calls.remove)
    configuration = blocking(calls.configuration)
    reload = blocking(calls.reload)
    environment = blocking(calls.environment)
    dashboard = blocking(calls.dashboard)
    shutdown = blocking(calls.shutdown)
    is_ready = blocking(calls.is_ready)
    document = blocking(calls.document)

    def wait(
        self, *names: str, until: Until = "ready", stable: float = 0.0, timeout: float | None = None
    ) -> list[ServerRow]:
        """Wait until servers (all that are wanted, without names) are ready for `stable` seconds.

        Or "healthy", "stopped", "completed", or "idle": nothing runs on them, as their plugins tell. Raises
        RequestRefused ("failed", "stopped") as soon as one is given up or stopped instead, and TimeoutError.
        """
        waiting = Wait(names, until, stable, timeout)
        snapshot = self.servers()
        with self.follow_events(after=snapshot.cursor) as feed:
            while (rows := waiting.check(snapshot, self._quiet(waiting.asks(snapshot)))) is None:
                feed.poll(waiting.seconds_left())
                snapshot = self.servers()
        return rows

    def _quiet(self, names: Sequence[str]) -> dict[str, bool | None]:
        return {name: self.work(name).idle for name in names}

    def _feed(self, stream: Stream[T]) -> Feed[T]:
        state = StreamState(self._place, stream)
        if stream.begins_now and stream.after is None:
            state.begin(self.about().cursor)
        return Feed(state)

    def _send(self, call: Call[T]) -> T:
        connection = self._kept()
        if connection is not None:
            try:
                return self._exchange(connection, call)
            except Unreachable as error:
                # It was closed while nobody used it. What changes something is not sent twice.
                if call.method != "GET" or not isinstance(error.__cause__, ConnectionError):
                    raise
        return self._exchange(Connection(open_socket(self._place)), call)

    def _kept(self) -> Connection | None:
        with suppress(IndexError):
            while True:
                connection = self._idle.pop()
                if not connection.is_readable(0):
                    return connection
                connection.close()
        return None

    def _exchange(self, connection: Connection, call: Call[T]) -> T:
        try:
            headers = call.headers | self._place.headers
            connection.request(call.method, call.target, call.body or None, headers)
            await_answer(self._place, connection.sock, self._timeout if call.limit is None else call.limit)
            response = connection.getresponse()
            body = response.read()
        except TimeoutError:
            connection.close()
            raise
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise Unreachable(f"hostler went away before it had answered: {error}") from error
        except BaseException:
            connection.close()
            raise
        self._version = response.headers.get("Hostler-Version", "")
        self._keep(connection, response)
        return call.read(response.status, body, self._version)

    def _keep(self, connection: Connection, response: http.client.HTTPResponse) -> None:
        if response.will_close or len(self._idle) >= _MOST_IDLE:
            connection.close()
        else:
            self._idle.append(connection)
