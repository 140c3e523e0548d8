"""Connections of ours must not keep the port of a server that is gone."""

from __future__ import annotations

import socket
import struct
from contextlib import suppress

_AT_ONCE = struct.pack("ii", 1, 0)  # on, for 0 s


def close_by_reset(one: socket.socket) -> None:
    """Have a socket of the event loop closed by a reset if its other end has closed already.

    Who closes first keeps its port for a minute (TIME_WAIT), unless it gets a reset.
    """
    with suppress(OSError):  # nothing came yet, or it is reset already
        if not one.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT):
            one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
