"""A server for the soak: an event stream, numbered lines without end, a helper that hides, and bad manners.

    python soak_server.py FOLDER PORT

It listens, says so, and prints lines "soak RUN NUMBER". How many have gone into the pipe stands in the file
FOLDER/RUN, kept in memory that outlives a SIGKILL. SIGUSR1: a flood of lines. SIGUSR2: all event streams are
closed. SIGINT: it exits with code 3. Standard library only.
"""

from __future__ import annotations

import contextlib
import mmap
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
FIRST = b'data: {"type":"server.connected","properties":{}}\n\n'
BEAT = b'data: {"type":"server.heartbeat","properties":{}}\n\n'
FLOOD = 20_000
AT_ONCE = 500
SECRET = "SOAK_API_TOKEN"


class Clients:
    """The open event streams."""

    def __init__(self) -> None:
        self._open: set[socket.socket] = set()

    def serve(self, client: socket.socket) -> None:
        self._open.add(client)
        with contextlib.suppress(OSError), client:
            client.recv(65536)
            client.sendall(HEAD + FIRST)
            while True:
                time.sleep(0.5)
                client.sendall(BEAT)
        self._open.discard(client)

    def hang_up(self) -> None:
        for client in list(self._open):
            with contextlib.suppress(OSError):
                client.shutdown(socket.SHUT_RDWR)


class Lines:
    """Numbered lines on stdout, and the number of those that are surely in the pipe."""

    def __init__(self, folder: Path) -> None:
        self._run = f"{time.time_ns():x}-{os.getpid()}"
        path = folder / self._run
        path.write_bytes(bytes(8))
        with path.open("r+b") as file:
            self._count = mmap.mmap(file.fileno(), 8)
        self._number = 0

    def write(self, count: int) -> None:
        numbers = range(self._number + 1, self._number + count + 1)
        data = "".join(f"soak {self._run} {number} and some words\n" for number in numbers).encode()
        while data:
            data = data[os.write(1, data) :]
        self._number += count
        self._count[:] = self._number.to_bytes(8, "little")


def main() -> None:
    folder, port = Path(sys.argv[1]), int(sys.argv[2])

    if SECRET in os.environ:
        sys.exit(77)

    helper = [sys.executable, "-I", "-S", "-c", "import time; time.sleep(3600)", str(folder)]
    subprocess.Popen(helper, start_new_session=True)
    clients, flood = Clients(), threading.Event()
    signal.signal(signal.SIGUSR1, lambda *_: flood.set())
    signal.signal(signal.SIGUSR2, lambda *_: clients.hang_up())
    signal.signal(signal.SIGINT, lambda *_: os._exit(3))
    server = socket.create_server(("127.0.0.1", port))
    print(f"server listening on http://127.0.0.1:{port}", flush=True)
    threading.Thread(target=accept, args=(server, clients), daemon=True).start()
    lines = Lines(folder)

    while True:
        for _ in range(FLOOD // AT_ONCE if flood.is_set() else 0):
            lines.write(AT_ONCE)
        flood.clear()
        lines.write(1)
        time.sleep(0.02)


def accept(server: socket.socket, clients: Clients) -> None:
    while True:
        client, _ = server.accept()
        threading.Thread(target=clients.serve, args=(client,), daemon=True).start()


if __name__ == "__main__":
    main()
