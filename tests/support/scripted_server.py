"""A listener that answers as it is told, for what no hostler does: hang, break off, speak something else."""

from __future__ import annotations

import socket
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

SILENCE = None
OK = b"HTTP/1.1 200 OK\r\nHostler-Version: 9.9\r\nContent-Length: "


def answer(body: bytes, headers: bytes = b"") -> bytes:
    """A response that keeps the connection."""
    return OK + str(len(body)).encode() + b"\r\n" + headers + b"\r\n" + body


class ScriptedServer:
    """Gives each connection its own answers, one for each request, then closes it; SILENCE keeps it open.

    Connections beyond the script are closed at once.
    """

    def __init__(self, folder: Path, *connections: Sequence[bytes | None], tcp: bool = False) -> None:
        self.path = str(folder / "s")
        self.requests: list[str] = []
        self._scripts = list(connections)
        self._listener = socket.socket(socket.AF_INET if tcp else socket.AF_UNIX)
        self._listener.bind(("127.0.0.1", 0) if tcp else self.path)
        self._listener.listen()
        self.address = "{}:{}".format(*self._listener.getsockname()) if tcp else ""
        self._held: list[socket.socket] = []
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)  # wakes who accepts, which a close does not
        for held in self._held:
            with suppress(OSError):
                held.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(10)
            assert not thread.is_alive()
        for held in self._held:
            held.close()
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client = self._listener.accept()[0]
            except OSError:
                return
            script = self._scripts.pop(0) if self._scripts else ()
            self._held.append(client)
            self._threads.append(threading.Thread(target=self._serve, args=(client, script)))
            self._threads[-1].start()

    def _serve(self, client: socket.socket, script: Sequence[bytes | None]) -> None:
        with suppress(OSError):
            for one in script:
                data = client.recv(65_536)
                if not data:
                    break
                self.requests.append(data.decode())
                if one is None:
                    client.recv(1)
                else:
                    client.sendall(one)
            client.shutdown(socket.SHUT_RDWR)
