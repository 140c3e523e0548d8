"""Connections to a hostler for who may block, and what its silence means."""

from __future__ import annotations

import http.client
import math
import select
import socket as sockets
import time
from collections.abc import Iterator

from hostler.client.errors import Unreachable
from hostler.client.log_reader import WholeLogReader
from hostler.client.messages import render
from hostler.client.place import PATIENCE, PAUSE, Attempts, Place
from hostler.client.requests import WholeLog
from hostler.control.log_shapes import LogEnd, LogLine

_CHUNK = 262_144
_LONGEST_PAUSE = 30.0  # in the middle of an answer


class Connection(http.client.HTTPConnection):
    """HTTP over an open socket."""

    def __init__(self, opened: sockets.socket) -> None:
        super().__init__("localhost")
        self.sock = opened
        self.auto_open = 0

    def is_readable(self, seconds: float) -> bool:
        """Whether something comes, or the connection was closed, within so many seconds."""
        return is_readable(self.sock, seconds)


def open_socket(place: Place) -> sockets.socket:
    """Connect. Raises NotRunning and Unreachable."""
    attempts = Attempts(place)
    while True:
        try:
            return _connected(place)
        except OSError as error:
            attempts.refuse(error)
        time.sleep(PAUSE)


def is_readable(opened: sockets.socket, seconds: float | None) -> bool:
    """Whether something comes, or the connection was closed, within so many seconds (None: ever)."""
    if _has_more(opened):
        return True
    poll = select.poll()
    poll.register(opened, select.POLLIN)
    return bool(poll.poll(None if seconds is None else math.ceil(max(seconds, 0.0) * 1000)))


def _has_more(opened: sockets.socket) -> bool:
    """Whether TLS has read more than was asked for."""
    pending = getattr(opened, "pending", None)
    return pending is not None and pending() > 0


def await_answer(place: Place, opened: sockets.socket, seconds: float) -> None:
    """Wait for the first byte of an answer. Raises TimeoutError, and Unreachable when hostler hangs.

    It may be busy for long with this, but not silent on another connection.
    """
    until = time.monotonic() + seconds
    while not is_readable(opened, min(PATIENCE, until - time.monotonic())):
        if time.monotonic() >= until:
            raise TimeoutError("it is not done in time, and goes on")
        _look_for_life(place)
    # Over TLS what comes first may be no part of the answer yet.
    left = until - time.monotonic()
    opened.settimeout(_LONGEST_PAUSE if place.tls is None else None if left == math.inf else max(left, PAUSE))


def read_lines(place: Place, log: WholeLog) -> Iterator[LogLine | LogEnd]:
    """All lines that are there, as they come. Raises Unreachable, and what is told instead."""
    reader = WholeLogReader(place, log)
    with open_socket(place) as opened:
        opened.sendall(reader.request)
        while not reader.has_ended:
            await_answer(place, opened, math.inf)
            yield from reader.feed(opened.recv(_CHUNK))


def _look_for_life(place: Place) -> None:
    with open_socket(place) as opened:
        opened.sendall(render("GET", "/livez", place.headers, version="1.0"))
        if not is_readable(opened, PATIENCE):
            raise Unreachable(f"hostler has not answered for {2 * PATIENCE:g} s", hint=place.hint())


def _connected(place: Place) -> sockets.socket:
    path = place.socket()
    if not path:
        plain = sockets.create_connection((place.host, place.port), timeout=PATIENCE)
        # It closes the socket where it fails.
        return plain if place.tls is None else place.tls.wrap_socket(plain, server_hostname=place.host)
    opened = sockets.socket(sockets.AF_UNIX, sockets.SOCK_STREAM)
    try:
        opened.settimeout(PATIENCE)
        opened.connect(path)
    except BaseException:
        opened.close()
        raise
    return opened
