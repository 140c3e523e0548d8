"""What a service tells systemd by the protocol of sd_notify(3): lines of NAME=VALUE in a datagram."""

from __future__ import annotations

import socket
from collections.abc import Mapping


def notify_systemd(address: str, text: str) -> None:
    """Send a text to the socket that NOTIFY_SOCKET names, without waiting. Raises OSError where it cannot."""
    if address[:1] not in {"/", "@"}:
        raise OSError(f"NOTIFY_SOCKET is no path: {address}")
    name = "\0" + address[1:] if address[0] == "@" else address  # "@" stands for the abstract namespace
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as notify:
        notify.setblocking(False)
        notify.sendto(text.encode(), name)


def watchdog_seconds(environ: Mapping[str, str], pid: int) -> float | None:
    """How long systemd lets the process of this pid be silent; None when it does not ask it."""
    allowed, whose = environ.get("WATCHDOG_USEC", ""), environ.get("WATCHDOG_PID", "")
    if not allowed.isdecimal() or int(allowed) == 0 or whose not in {"", str(pid)}:
        return None
    return int(allowed) / 1_000_000
