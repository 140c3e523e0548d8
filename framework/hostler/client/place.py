"""Where a hostler is reached, and how long to try: nothing here sends or waits."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from hostler.client.errors import NotRunning, Unreachable
from hostler.control.location import Location, locate

if TYPE_CHECKING:
    import ssl

PATIENCE = 2.5
"""Seconds of silence, after which hostler is asked whether it lives, and within which it must answer that."""

PAUSE = 0.02
"""Seconds between two attempts."""

_REBIND_SECONDS = 5.0  # also one that is about to end takes no connection, and then releases its lock


@dataclass(frozen=True, slots=True)
class Place:
    """A socket of its own, an address with a token, or the `location` of a configuration."""

    configuration: str = ""
    location: Location | None = None
    path: str = ""
    host: str = ""
    port: int = 0
    token: str = field(default="", repr=False)
    tls: ssl.SSLContext | None = None

    @classmethod
    def choose(
        cls,
        configuration: str | os.PathLike[str],
        socket: str | os.PathLike[str] | None,
        address: str | None,
        token: str | None,
        environ: Mapping[str, str] | None,
        tls: ssl.SSLContext | None,
    ) -> Place:
        """The socket or the address, where one is given. Raises ValueError."""
        if socket is not None:
            return cls(path=os.fspath(socket))
        if address is not None:
            scheme, _, rest = address.rpartition("://")
            host, _, port = rest.rstrip("/").rpartition(":")
            if scheme not in {"", "http", "https"} or not host or not port.isdecimal():
                raise ValueError(f'an address is "127.0.0.1:4711" or a URL, found {address!r}')
            if scheme == "https":
                tls = tls or _trusting_the_system()
            return cls(host=host.strip("[]"), port=int(port), token=token or "", tls=tls)
        file = os.fspath(configuration)
        return cls(file, locate(file, os.environ if environ is None else environ))

    @property
    def headers(self) -> dict[str, str]:
        """What each request to it has beside its own."""
        if not self.host:
            return {"Host": "localhost"}
        host = f"[{self.host}]" if ":" in self.host else self.host
        token = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        return {"Host": f"{host}:{self.port}", **token}

    def socket(self) -> str:
        """The path of the socket; "" for an address. Raises NotRunning."""
        if self.location is None:
            return self.path
        if not self.location.is_held():
            raise self.not_running()
        known = self.location.describe().get("socket")
        return known if isinstance(known, str) else self.location.socket

    def lives(self) -> bool:
        """Whether somebody is there, as far as can be told without a connection."""
        return self.location is None or self.location.is_held()

    def hint(self) -> str:
        """What to do with one that hangs."""
        pid = None if self.location is None else self.location.owner().get("pid")
        return "" if pid is None else f"look at it: ps {pid}; kill -9 {pid} ends it and its servers"

    def not_running(self) -> NotRunning:
        """Nobody is there."""
        where = self.configuration or self.path or f"{self.host}:{self.port}"
        return NotRunning(f"no hostler supervises {where} now", hint="start one: hostler up")


def _trusting_the_system() -> ssl.SSLContext:
    import ssl  # noqa: PLC0415 - few need it

    return ssl.create_default_context()


class Attempts:
    """Decides whether to connect once more: the socket may have been removed, or not be there yet."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._until: float | None = None

    def refuse(self, error: OSError) -> None:
        """Return where another attempt may help. Raises NotRunning or Unreachable."""
        gone = isinstance(error, FileNotFoundError | ConnectionRefusedError)
        location = self._place.location
        if gone and (location is None or not location.is_held()):
            raise self._place.not_running() from error
        if not gone or (self._until is not None and time.monotonic() > self._until):
            reason = error.strerror or str(error) or "it does not answer"
            raise Unreachable(f"hostler takes no connection: {reason}") from error
        if self._until is None and location is not None:
            self._until = time.monotonic() + _REBIND_SECONDS
            location.request_socket()
