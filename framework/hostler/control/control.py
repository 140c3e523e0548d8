"""`Control`: a supervisor that other processes of this user can see and command, on a unix socket or TCP."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

from hostler import ControlSpec, ProcessAlreadyRunning, Supervisor, __version__
from hostler.control.control_socket import ControlSocket
from hostler.control.lazy_server import LazyServer
from hostler.control.location import Location, locate, locate_namespace

if TYPE_CHECKING:
    from hostler.control.api import Api, Host
    from hostler.control.event_ring import EventRing
    from hostler.control.http_server import HttpServer
    from hostler.control.tcp_listener import TcpListener

_PROBE_SECONDS, _PROBE_INTERVAL = 0.2, 0.005


class Control:
    """Offers the control API of a supervisor, between `async with` and its end.

    `configuration` is the file that clients find it by. `spec` is what a file has below `[control]`:
    `load(FILE).control`; a path given as `socket` goes before. Nothing is imported or done until the first
    client connects, which waits for that. Where a program calls `listen_again` on SIGUSR1, it says so by
    `relistens`: clients then send that when the socket is gone. `about` is more that its description
    is to have.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        configuration: str | os.PathLike[str],
        socket: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] | None = None,
        host: Host | None = None,
        relistens: bool = False,
        spec: ControlSpec | None = None,
        about: Mapping[str, object] = MappingProxyType({}),
    ) -> None:
        self._supervisor = supervisor
        self._configuration = os.path.abspath(configuration)  # noqa: PTH100 - no link is followed
        self._spec = ControlSpec() if spec is None else spec
        self._path = self._spec.socket if socket is None else os.fspath(socket)
        self._environ = os.environ if environ is None else environ
        self._host = host
        self._about = about
        self._relistens = relistens
        self._socket: ControlSocket | None = None
        self._api: Api | None = None
        self._ring: EventRing | None = None
        self._unix = LazyServer(partial(self._serve, None))
        self._tcp: LazyServer | None = None
        self._restoring: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Lock the configuration and listen. Raises ProcessAlreadyRunning and EnvironmentSetupFailed."""
        if self._path is False:
            return self

        from hostler.control.event_ring import EventRing  # noqa: PLC0415 - after the first start, where it can wait

        path = None if self._path is True else os.fspath(self._path)
        held = await self._take(path)
        try:
            tcp = await self._listen_on_tcp()
            held.describe(self._description(tcp, held.location), {} if tcp is None else tcp.tokens.by_name)
        except BaseException:
            if self._tcp is not None:
                self._tcp.pause()
            held.release()
            raise
        self._socket, self._ring = held, EventRing(self._supervisor)
        self._unix.begin(held.listener)
        self._begin_to_restore(held.location)
        return self

    async def _take(self, path: str | None) -> ControlSocket:
        """Lock and listen. Who only looks whether the lock is held has it for a moment, and is waited for."""
        location, until = locate(self._configuration, self._environ), monotonic() + _PROBE_SECONDS
        while True:
            try:
                return ControlSocket.take(location, path, relistens=self._relistens)
            except ProcessAlreadyRunning:
                if monotonic() > until:
                    raise
            await asyncio.sleep(_PROBE_INTERVAL)

    def _description(self, tcp: TcpListener | None, location: Location) -> dict[str, object]:
        reached = None if tcp is None else {"url": tcp.url, "tokens": location.tokens}
        return {
            "version": __version__,
            "api": 1,
            "configuration": self._configuration,
            "log": None,
            "since": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
            "tcp": reached,
            **self._about,
        }

    async def _listen_on_tcp(self) -> TcpListener | None:
        if self._spec.tcp is None:
            return None

        from hostler.control.tcp_listener import TcpListener  # noqa: PLC0415 - few have one

        listener = await asyncio.to_thread(TcpListener.open, self._spec)
        self._tcp = LazyServer(partial(self._serve, listener), listener.tls)
        self._tcp.begin(listener.listener)
        return listener

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Answer nobody any more, and remove socket, description and lock, in this order."""
        if self._socket is None or self._ring is None:
            return
        held, self._socket = self._socket, None
        if self._restoring is not None:
            self._restoring.cancel()
            await asyncio.wait({self._restoring})
        both = [self._unix, *([] if self._tcp is None else [self._tcp])]
        for server in both:
            server.pause()
        # Who follows or waits is told first: the end of all others takes no time then.
        self._ring.close()
        if self._api is not None:
            await self._api.close()
        await asyncio.gather(*(server.close() for server in both))
        held.release()

    @property
    def socket(self) -> str:
        """The path of the socket."""
        return "" if self._socket is None else self._socket.path

    @property
    def is_busy(self) -> bool:
        """Whether a client is connected."""
        return self.idle_for == 0

    @property
    def idle_for(self) -> float:
        """The seconds since a client was connected last: 0 while one is, infinite when there was none."""
        both = [self._unix, *([] if self._tcp is None else [self._tcp])]
        page = float("inf") if self._api is None else self._api.dashboard.idle_for
        return min(page, *(server.idle_for for server in both))

    def listen_again(self) -> None:
        """Make the lock and the socket anew, where somebody has removed them.

        Raises OSError, and errors as the beginning does.
        """
        if self._socket is None or self._socket.is_there():
            return
        self._socket.lock_again()
        self._unix.pause()
        self._socket.listen_again()
        self._unix.begin(self._socket.listener)

    async def _serve(self, tcp: TcpListener | None) -> HttpServer:
        """What answers the clients of the socket, or those over TCP."""
        server, made = await self._make_api()

        from hostler.control.access import TcpAccess, UnixAccess  # noqa: PLC0415 - it is there now

        access = UnixAccess() if tcp is None else TcpAccess(tcp)
        return server(made.routes(), access, made.requests)

    async def _make_api(self) -> tuple[type[HttpServer], Api]:
        server, api = await asyncio.to_thread(_import)
        assert self._ring is not None
        if self._api is None:
            namespace = locate_namespace(self._configuration, self._environ)
            dashboard = locate(self._configuration, self._environ).dashboard
            self._api = api(
                self._supervisor, self._ring, self._configuration, namespace, self._host, dashboard
            )
        return server, self._api

    def _begin_to_restore(self, location: Location) -> None:
        # Few have one: nothing is imported for others.
        if os.path.lexists(location.dashboard):
            self._restoring = asyncio.create_task(self._restore(), name="hostler dashboard")

    async def _restore(self) -> None:
        """Offer the dashboard of a hostler that was killed to the pages that are still open."""
        _, api = await self._make_api()
        await api.dashboard.restore()


def _import() -> tuple[type[HttpServer], type[Api]]:
    from hostler.control.api import Api  # noqa: PLC0415 - brings aiohttp, which a run without clients need not have
    from hostler.control.http_server import HttpServer  # noqa: PLC0415

    return HttpServer, Api
