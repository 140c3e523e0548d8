"""systemd's end of its notify socket."""

from __future__ import annotations

import socket
from contextlib import suppress
from pathlib import Path


class Manager:
    """What systemd would hear of a service, datagram by datagram."""

    def __init__(self, address: Path) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(address))
        self._socket.settimeout(20)

    def hear(self, line: str) -> list[str]:
        """The lines of the next datagram in which one begins like this."""
        while True:
            lines = self._socket.recv(4096).decode().splitlines()
            if any(one.startswith(line) for one in lines):
                return lines

    def heard(self) -> list[str]:
        """All lines that have come and were not read yet."""
        self._socket.setblocking(False)
        lines = []
        try:
            while True:
                lines += self._socket.recv(4096).decode().splitlines()
        except BlockingIOError:
            return lines

    def close(self) -> None:
        self._socket.close()


def fill(address: str) -> None:
    """Send to it until it takes no more from anybody, as it reads nothing."""
    is_full = False
    while not is_full:
        is_full = True
        # Each of them may have only so many bytes under way.
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as other, suppress(BlockingIOError):
            other.setblocking(False)
            while True:
                other.sendto(b"STATUS=of others", address)
                is_full = False
