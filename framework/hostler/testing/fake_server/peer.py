"""One connection to the fake server."""

from __future__ import annotations

import select
import socket
import struct

_REASONS = {"200": "OK", "302": "Found", "401": "Unauthorized", "404": "Not Found"}


class Peer:
    """One connection."""

    def __init__(self, socket_: socket.socket) -> None:
        self._socket = socket_

    def request(self) -> list[str]:
        """The lines of a request's head; ConnectionError when the client is gone."""
        data = b""
        while b"\r\n\r\n" not in data:
            piece = self._socket.recv(65536)
            if not piece:
                raise ConnectionError
            data += piece
        return data.decode("latin-1").split("\r\n")

    def sendall(self, data: bytes) -> None:
        """Send all of it."""
        self._socket.sendall(data)

    def answer(self, status: str, content_type: str, body: str, extra: str = "") -> None:
        """Send a whole answer."""
        reason = _REASONS.get(status, "Some Reason")
        head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: {content_type}\r\n{extra}"
        length = len(body.encode())
        self.sendall(f"{head}Content-Length: {length}\r\nConnection: close\r\n\r\n{body}".encode())

    def reset(self) -> None:
        """Break off."""
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    def idle(self, seconds: float | None) -> bool:
        """Wait; whether the client is gone."""
        readable, _, _ = select.select([self._socket], [], [], seconds)
        return bool(readable) and not self._socket.recv(65536)
