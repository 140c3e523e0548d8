"""What several plugins need to connect to a server: who listens there, headers with secrets, a quick end."""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Protocol

from hostler import (
    Endpoint,
    InvalidConfiguration,
    Launch,
    PortInUse,
    Secret,
    ServerView,
    Unhealthy,
    is_secret_name,
)

if TYPE_CHECKING:
    import socket

_NAME = r"(?a)[!#$%&'*+.^_`|~0-9A-Za-z-]+"  # RFC 9110, 5.6.2: token
_AT_ONCE = struct.pack("ii", 1, 0)  # struct linger: on, for 0 s


def without_port(plugin: str, remedy: str) -> Unhealthy:
    """The report of a plugin that has no port to connect to, which no restart can help."""
    error = InvalidConfiguration(
        f"{plugin} needs a server with a port", hint=f"give the server a port, or {remedy}"
    )
    return Unhealthy(error.message, permanent=True, error=error)


class Connected(Protocol):
    """A transport, or a stream of one."""

    def get_extra_info(self, name: str) -> object:
        """What is known of it: "peername", "sockname"."""
        ...


def verify_place(server: ServerView, place: Endpoint, *, secret: bool) -> None:
    """`server.verify_listener`; where nothing secret is said, a view that tells of strangers is enough."""
    if secret or hasattr(server, "verify_listener"):
        server.verify_listener(secret=secret, at=place)
    elif stranger := server.stranger():
        raise PortInUse(f"another process listens there instead: {stranger}")


def verify_connection(server: ServerView, connected: Connected | None, *, secret: bool) -> None:
    """The same for the other end of a connection: a name may have led elsewhere than was looked at."""
    far, near = (
        None if connected is None else connected.get_extra_info(f"{end}name") for end in ("peer", "sock")
    )
    if not isinstance(far, tuple) or not isinstance(near, tuple):
        raise ConnectionResetError("the connection is gone")
    verify_place(server, Endpoint(far[0], far[1], near=(near[0], near[1])), secret=secret)


def holds_secret(server: ServerView, text: str) -> bool:
    """Whether a text holds a secret that the server knows; a view that cannot tell knows none."""
    return hasattr(server, "is_secret") and server.is_secret(text)


def close_by_reset(one: socket.socket) -> None:
    """Have a socket of the event loop closed by a reset if its other end has closed already.

    Who closes first keeps its port for a minute (TIME_WAIT), unless it gets a reset.
    """
    from socket import MSG_DONTWAIT, MSG_PEEK, SO_LINGER, SOL_SOCKET  # noqa: PLC0415 - not for a check

    with suppress(OSError):  # nothing came yet, or it is reset already
        if not one.recv(1, MSG_PEEK | MSG_DONTWAIT):
            one.setsockopt(SOL_SOCKET, SO_LINGER, _AT_ONCE)


def check_headers(headers: Mapping[str, str | Secret]) -> None:
    """Raise ValueError for what is no header."""
    for name, value in headers.items():
        if not re.fullmatch(_NAME, name):
            raise ValueError(f"headers: {name!r} is no name of a header")
        if isinstance(value, str) and not value.isprintable():
            raise ValueError(f"headers: the value of {name} has to be one line of printable letters")


def read_headers(headers: Mapping[str, str | Secret], server: ServerView, launch: Launch) -> dict[str, str]:
    """The headers as they are now; what is secret of them is masked from now on."""
    read = {
        name: launch.read_secret(value) if isinstance(value, Secret) else value
        for name, value in headers.items()
    }

    redact_headers(read, server)
    return read


def redact_headers(headers: Mapping[str, str], server: ServerView) -> None:
    """Mask what is secret of these headers from now on."""
    for name, value in headers.items():
        if is_secret_name(name.replace("-", "_")):
            server.redact(value)
            server.redact(value.partition(" ")[2])  # "Bearer ..."


def retry_after(value: str, now: datetime | None = None) -> float | None:
    """The wait in seconds that a Retry-After asks for, as a number or as a date; None for nonsense."""
    if value.isascii() and value.isdigit() and len(value) < 10:
        return float(value)

    from email.utils import parsedate_to_datetime  # noqa: PLC0415 - heavy

    try:
        date = parsedate_to_datetime(value)
    except (ValueError, TypeError, OverflowError):
        return None

    date = date.replace(tzinfo=date.tzinfo or UTC)  # "-0000": no zone is meant
    return max(0.0, (date - (now or datetime.now(UTC))).total_seconds())
