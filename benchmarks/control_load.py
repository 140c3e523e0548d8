"""Clients of the benchmark of the control API: a program of its own, so that its work is not hostler's.

    python benchmarks/control_load.py requests SOCKET RATE SECONDS CONNECTIONS
    python benchmarks/control_load.py streams SOCKET COUNT SECONDS
    python benchmarks/control_load.py log SOCKET SERVER LINES PAUSE

Prints JSON: milliseconds of each request; or [the event's time, how many milliseconds later a stream had it];
or how many numbered lines came, how many were not the next one, and the gaps told: 64 KiB after each pause.
"""

from __future__ import annotations

import contextlib
import json
import re
import selectors
import signal
import socket
import sys
import threading
import time
from datetime import datetime

GET = b"GET /v1/servers HTTP/1.1\r\nHost: localhost\r\n\r\n"
STREAM = b"GET /v1/events?kind=state HTTP/1.0\r\nHost: localhost\r\nAccept: text/event-stream\r\n\r\n"


def main(kind: str, path: str, *words: str) -> None:
    if kind == "requests":
        found: object = requests(path, float(words[0]), float(words[1]), int(words[2]))
    elif kind == "log":
        found = follow_log(path, words[0], int(words[1]), float(words[2]))
    else:
        found = streams(path, int(words[0]), float(words[1]))
    print(json.dumps(found))


def requests(path: str, rate: float, seconds: float, connections: int) -> list[float]:
    """GET /v1/servers at a fixed rate over kept connections; a late start counts as latency too."""
    took: list[list[float]] = [[] for _ in range(connections)]
    begin = time.monotonic() + 0.2

    def ask(number: int) -> None:
        connection = _connected(path)
        for due in range(int(rate * seconds / connections)):
            when = begin + (due + number / connections) * connections / rate
            time.sleep(max(0.0, when - time.monotonic()))
            connection.sendall(GET)
            _read_answer(connection)
            took[number].append((time.monotonic() - when) * 1000)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [value for values in took for value in values]


def streams(path: str, count: int, seconds: float) -> list[tuple[float, float]]:
    """So many event streams; of each event the moment of its own time, and how much later a stream had it.

    hostler tells times in whole milliseconds, which adds half of one on average.
    """
    selector, found = selectors.DefaultSelector(), []
    for _ in range(count):
        connection = _connected(path)
        connection.sendall(STREAM)
        selector.register(connection, selectors.EVENT_READ)
    begin, end = time.time() + 0.5, time.monotonic() + 0.5 + seconds  # what stands in the ring comes first
    while (left := end - time.monotonic()) > 0:
        for key, _ in selector.select(left):
            assert isinstance(key.fileobj, socket.socket)
            data, now = key.fileobj.recv(1 << 20), time.time()
            for text in re.findall(rb'"time":"([^"]+)Z"', data):
                when = datetime.fromisoformat(f"{text.decode()}+00:00").timestamp()
                if when > begin:
                    found.append((when, (now - when) * 1000))
    return found


def follow_log(path: str, server: str, count: int, pause: float) -> tuple[int, int, int]:
    """The log of a server from its beginning on, until its last line or SIGTERM."""
    connection, seen, wrong, gaps, rest = _connected(path), 0, 0, 0, b""
    target = f"/v1/servers/{server}/log?after="
    connection.sendall(f"GET {target} HTTP/1.0\r\nAccept: text/event-stream\r\n\r\n".encode())
    is_over = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: is_over.set())
    connection.settimeout(0.5)
    while seen < count and not is_over.wait(pause):
        with contextlib.suppress(TimeoutError):
            *whole, rest = (rest + connection.recv(1 << 16)).split(b"\n\n")
            data = b"\n\n".join(whole)
            gaps += data.count(b"event: gap")
            for number in map(int, re.findall(rb'"text":"(\d{11}) ', data)):
                wrong += number != seen
                seen = number + 1
    return seen, wrong, gaps


def _connected(path: str) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.connect(path)
    return connection


def _read_answer(connection: socket.socket) -> None:
    data = b""
    while b"\r\n\r\n" not in data:
        data += _some(connection)
    head, _, body = data.partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200 "):
        raise SystemExit(f"refused: {head!r}")
    length = int(re.findall(rb"(?i)content-length: (\d+)", head)[0])
    while len(body) < length:
        body += _some(connection)


def _some(connection: socket.socket) -> bytes:
    data = connection.recv(1 << 16)
    if not data:
        raise SystemExit("the connection was closed")
    return data


if __name__ == "__main__":
    main(*sys.argv[1:])
