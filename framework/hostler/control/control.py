"""`Control`: a supervisor that other processes of this user can see and command, on a unix socket."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from datetime import UTC, datetime
from types import TracebackType
from typing import TYPE_CHECKING, Self

from hostler import Supervisor, __version__
from hostler.control.control_socket import ControlSocket
from hostler.control.location import locate

if TYPE_CHECKING:
    from hostler.control.api import Api, Host
    from hostler.control.board import Board
    from hostler.control.http_server import HttpServer


class Control:
    """Offers the control API of a supervisor, between `async with` and its end.

    `configuration` is the file that clients find it by. `socket` is a path of its own for the socket. Nothing
    is imported or done until the first client connects, which waits for that. Where a program calls
    `listen_again` on SIGUSR1, it says so by `relistens`: clients then send that when the socket is gone.
    """

    def __init__(
        self,
        supervisor: Supervisor,
        *,
        configuration: str | os.PathLike[str],
        socket: str | os.PathLike[str] | None = None,
        environ: Mapping[str, str] | None = None,
        host: Host | None = None,
        log: str | None = None,
        relistens: bool = False,
    ) -> None:
        self._supervisor = supervisor
        self._configuration = os.path.abspath(configuration)  # noqa: PTH100 - no link is followed
        self._path = None if socket is None else os.fspath(socket)
        self._environ = os.environ if environ is None else environ
        self._host = host
        self._log = log
        self._relistens = relistens
        self._socket: ControlSocket | None = None
        self._api: Api | None = None
        self._board: Board | None = None
        self._http: HttpServer | None = None
        self._opening: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Self:
        """Lock the configuration and listen. Raises ProcessAlreadyRunning and EnvironmentSetupFailed."""
        from hostler.control.board import Board  # noqa: PLC0415 - after the first start, where it can wait

        location = locate(self._configuration, self._environ)
        held = ControlSocket.take(location, self._path, relistens=self._relistens)
        try:
            held.describe(self._description())
        except BaseException:
            held.release()
            raise
        self._socket, self._board = held, Board(self._supervisor)
        self._wait_for_client()
        return self

    def _description(self) -> dict[str, object]:
        return {
            "version": __version__,
            "api": 1,
            "configuration": self._configuration,
            "log": self._log,
            "since": datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        }

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Answer nobody any more, and remove socket, description and lock, in this order."""
        if self._socket is None or self._board is None:
            return
        held, self._socket = self._socket, None
        self._stop_waiting(held)
        if self._opening is not None:
            self._opening.cancel()
            await asyncio.wait({self._opening})
        if self._http is not None and self._api is not None:
            self._http.stop_listening()
            # Who follows or waits is told first: the end of all others takes no time then.
            self._board.close()
            await self._api.close()
            await self._http.close()
        self._board.close()
        held.release()

    @property
    def socket(self) -> str:
        """The path of the socket."""
        return "" if self._socket is None else self._socket.path

    @property
    def is_busy(self) -> bool:
        """Whether a client is connected."""
        return self._http is not None and self._http.is_busy

    def listen_again(self) -> None:
        """Make the lock and the socket anew, where somebody has removed them.

        Raises OSError, and errors as the beginning does.
        """
        if self._socket is None or self._socket.is_there():
            return
        self._socket.lock_again()
        if self._http is None:
            self._stop_waiting(self._socket)
        else:
            self._http.stop_listening()
        self._socket.listen_again()
        self._wait_for_client()

    def _wait_for_client(self) -> None:
        assert self._socket is not None
        asyncio.get_running_loop().add_reader(self._socket.listener.fileno(), self._on_client)

    def _stop_waiting(self, held: ControlSocket) -> None:
        if held.listener.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(held.listener.fileno())

    def _on_client(self) -> None:
        assert self._socket is not None
        self._stop_waiting(self._socket)
        self._opening = asyncio.create_task(self._open(), name="hostler control")

    async def _open(self) -> None:
        """Serve the socket. The import takes 0.1 s, in which supervision goes on."""
        assert self._socket is not None
        assert self._board is not None
        if self._http is None:
            server, api = await asyncio.to_thread(_import)
            self._api = api(self._supervisor, self._board, self._configuration, self._host)
            self._http = server(self._api.routes())
        await self._http.listen(self._socket.listener)


def _import() -> tuple[type[HttpServer], type[Api]]:
    from hostler.control.api import Api  # noqa: PLC0415 - brings aiohttp, which a run without clients need not have
    from hostler.control.http_server import HttpServer  # noqa: PLC0415

    return HttpServer, Api
