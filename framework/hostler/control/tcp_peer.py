"""Whose a connection over loopback is, where the system tells."""

from __future__ import annotations

import sys
from pathlib import Path

_TABLE = Path("/proc/net/tcp")
_LOCAL, _REMOTE, _USER = 1, 2, 7  # the columns


def peer_user(peer: tuple[str, int], own: tuple[str, int]) -> int | None:
    """The user of the socket at `peer` that is connected to `own`, both IPv4; None where nobody tells."""
    try:
        lines = _TABLE.read_text(encoding="ascii").splitlines()[1:]
    except OSError:
        return None
    wanted = [_written(peer), _written(own)]
    users = (row[_USER] for row in map(str.split, lines) if row[_LOCAL : _REMOTE + 1] == wanted)
    user = next(users, None)
    return None if user is None else int(user)


def _written(address: tuple[str, int]) -> str:
    """An address as that table has it: the four bytes as a number of this machine, and the port."""
    host, port = address
    number = int.from_bytes(bytes(map(int, host.split("."))), sys.byteorder)
    return f"{number:08X}:{port:04X}"
