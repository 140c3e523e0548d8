"""A server with an event stream, to be started as a child: it stamps when it listens, then says so.

    python event_server.py STAMPS PORT [--delay S] [--heartbeat S] [--events N]

Standard library only. `--events N`: after the first event, N more of the usual size, as fast as possible.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import socket
import threading
import time
from pathlib import Path

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
FIRST = b'data: {"type":"server.connected","properties":{}}\n\n'
BEAT = b'data: {"type":"server.heartbeat","properties":{}}\n\n'
PAUSE = 0.5  # seconds, in which who reads gets ready
EVENT = (
    b'data: {"type":"message.part.updated","properties":{"part":{"id":"prt_0123456789","type":"text",'
    b'"text":"a few words of an answer, as they come from a model"},"delta":"a few words"}}\n\n'
)


def stamp(path: str, what: str) -> None:
    line = f"{what} {time.monotonic_ns()} {os.getpid()}\n"
    with Path(path).open("a", encoding="ascii") as file:
        file.write(line)


def answer(client: socket.socket, heartbeat: float, events: int) -> None:
    with client:
        client.recv(65536)
        client.sendall(HEAD + FIRST)
        time.sleep(PAUSE if events else 0)
        many = EVENT * 100
        for _ in range(events // 100):
            client.sendall(many)
        while True:
            time.sleep(heartbeat)
            client.sendall(BEAT)


def quietly(client: socket.socket, heartbeat: float, events: int) -> None:
    with contextlib.suppress(OSError):
        answer(client, heartbeat, events)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("stamps")
    parser.add_argument("port", type=int)
    parser.add_argument("--delay", type=float, default=0.0)
    parser.add_argument("--heartbeat", type=float, default=3600.0)
    parser.add_argument("--events", type=int, default=0)
    given = parser.parse_args()
    stamp(given.stamps, "exec")
    time.sleep(given.delay)
    server = socket.create_server(("127.0.0.1", given.port))
    stamp(given.stamps, "listen")
    print(f"server listening on http://127.0.0.1:{server.getsockname()[1]}", flush=True)

    while True:
        client, _ = server.accept()
        threading.Thread(target=quietly, args=(client, given.heartbeat, given.events), daemon=True).start()


if __name__ == "__main__":
    main()
