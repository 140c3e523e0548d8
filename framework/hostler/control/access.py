"""Who may connect to the control socket: our own user and root, as the kernel says."""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys
from collections.abc import Callable
from typing import cast

_UCRED = struct.Struct("3i")  # pid, uid, gid
_XUCRED = struct.Struct("2I")  # version, uid
_LOCAL_PEERCRED = 1
_SOL_LOCAL = 0


def peer_uid(connection: socket.socket) -> int:
    """The user of the process at the other end of a unix socket. OSError where the system does not tell."""
    if sys.platform == "linux":
        data = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        return int(_UCRED.unpack(data)[1])
    data = connection.getsockopt(_SOL_LOCAL, _LOCAL_PEERCRED, 76)
    return int(_XUCRED.unpack_from(data)[1])


class Gate(asyncio.Protocol):
    """The first protocol of each connection: hands ours to `inner`, closes others before they are read."""

    def __init__(self, inner: Callable[[], asyncio.Protocol]) -> None:
        self._inner = inner

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Look who it is."""
        transport = cast("asyncio.Transport", transport)  # that of uvloop is no subclass
        try:
            # What uvloop gives has a descriptor, and nothing else of a socket.
            with socket.socket(fileno=os.dup(transport.get_extra_info("socket").fileno())) as connection:
                uid = peer_uid(connection)
        except OSError:
            uid = -1
        if uid not in {0, os.geteuid()}:
            transport.abort()
            return
        inner = self._inner()
        transport.set_protocol(inner)
        inner.connection_made(transport)
