"""The event stream of the fake server, and everything that can be wrong with one."""

from __future__ import annotations

import argparse
import socket
import threading
import time
import zlib

from hostler.testing.fake_server.output import say
from hostler.testing.fake_server.peer import Peer
from hostler.testing.fake_server.processes import end

_HEAD = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
_PAGE = "<!doctype html><title>app</title>"
_COUNTED = {"end-after", "reset-after", "burst"}


class EventStream:
    """Answers requests for events, each as `--events` says; `open` is how many are being answered."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.open = 0
        self._options = options
        self._requests = 0
        self._lock = threading.Lock()

    def answer(self, peer: Peer) -> None:
        """Answer one request."""
        mode, *arguments = self._next_mode()
        time.sleep(self._options.events_delay)

        if mode == "refuse":
            peer.reset()
        elif mode == "status":
            peer.answer(arguments[0], "application/json", self._options.body)
        elif mode == "html":
            peer.answer("200", "text/html; charset=utf-8", _PAGE)
        elif mode == "redirect":
            peer.answer("302", "text/plain", "", "Location: /elsewhere\r\n")
        elif mode == "never-headers":
            peer.idle(None)
        elif mode == "slow-headers":
            _trickle(peer, b"HTTP/1.1 200 OK\r\nX-Slow: ")
        elif mode == "slow-event":
            _trickle(peer, f"{_HEAD}\r\ndata: ".encode())
        elif mode == "gzip":
            peer.sendall(f"{_HEAD}Content-Encoding: gzip\r\n\r\n".encode())
            peer.sendall(zlib.compress(f"data: {self._options.first}\n\n".encode(), wbits=31))
        elif mode in {"retry-after", "retry-date"}:
            self._be_busy(peer, mode, float(arguments[0]))
        else:
            self._stream(peer, mode, int(arguments[0]) if arguments else 0)

    def _next_mode(self) -> list[str]:
        modes: list[list[str]] = self._options.events or [["ok"]]
        with self._lock:
            self._requests += 1
            return modes[min(self._requests, len(modes)) - 1]

    def _be_busy(self, peer: Peer, mode: str, seconds: float) -> None:
        at = time.gmtime(time.time() + seconds)
        after = f"{seconds:.0f}" if mode == "retry-after" else time.strftime("%a, %d %b %Y %H:%M:%S GMT", at)
        peer.answer("503", "application/json", self._options.body, f"Retry-After: {after}\r\n")

    def _stream(self, peer: Peer, mode: str, count: int) -> None:
        with self._lock:
            self.open += 1

        try:
            self._begin(peer, mode, count)
            self._go_on(peer, mode)
        finally:
            with self._lock:
                self.open -= 1
            if self._options.log_requests:
                say("stream closed")

    def _begin(self, peer: Peer, mode: str, count: int) -> None:
        head = _HEAD
        head += "\r\n" if self._options.no_chunks else "Transfer-Encoding: chunked\r\n\r\n"
        peer.sendall(head.encode())

        if mode != "silent" and (mode not in {"end-after", "reset-after"} or count):
            self._send(peer, f"data: {self._options.first}\n\n")
            self._crash_later()

        if mode in _COUNTED and count > 1:
            self._send(peer, "".join(_numbered(number) for number in range(1, count)))

        if mode == "large":
            self._send(peer, f"data: {'x' * count}\n\n")
        elif mode == "endless":
            self._send(peer, "data: ")

    def _go_on(self, peer: Peer, mode: str) -> None:
        while mode == "endless":
            self._send(peer, "x" * 65536)

        if mode == "unlisten":
            self._options.listener.shutdown(socket.SHUT_RDWR)

        if mode in {"reset-after", "unlisten"}:
            time.sleep(0.1)  # a reset at once would also discard what is still on its way
            peer.reset()
        elif mode in {"silent", "stall"}:
            peer.idle(None)
        elif mode == "end-after":
            self._send(peer, "")
        else:
            self._beat(peer)

    def _send(self, peer: Peer, text: str) -> None:
        data = text.encode()
        peer.sendall(data if self._options.no_chunks else b"%x\r\n%s\r\n" % (len(data), data))

    def _beat(self, peer: Peer) -> None:
        frame = ": heartbeat\n\n"
        if self._options.heartbeat_kind == "event":
            frame = 'data: {"type":"server.heartbeat","properties":{}}\n\n'
        while not peer.idle(self._options.heartbeat):
            self._send(peer, frame)

    def _crash_later(self) -> None:
        if self._options.crash_when_ready is not None:
            timer = threading.Timer(self._options.crash_when_ready, end, (self._options, 1))
            timer.daemon = True
            timer.start()


def _trickle(peer: Peer, begin: bytes) -> None:
    peer.sendall(begin)
    while not peer.idle(0.1):
        peer.sendall(b"x")


def _numbered(number: int) -> str:
    return f'id: {number}\ndata: {{"type":"test.event","properties":{{"number":{number}}}}}\n\n'
