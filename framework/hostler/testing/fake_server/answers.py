"""The HTTP side of the fake server: who may ask, and what is answered."""

from __future__ import annotations

import argparse
import base64
import os
import signal
import socket
import threading
import time

from hostler.testing.fake_server.output import say, write
from hostler.testing.fake_server.peer import Peer
from hostler.testing.fake_server.streams import EventStream

_JSON = "application/json"
_KNOWN = {
    ("GET", "/global/health"): '{"healthy":true,"version":"0.0.0"}',
    ("GET", "/config"): "{}",
    ("POST", "/global/dispose"): "true",
}


class FakeServer:
    """Answers on threads; the main thread is left to signals and timers."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options = options
        self.streams = EventStream(options)
        self._password: str | None = options.password
        self._asked: dict[str, int] = {}
        self._lock = threading.Lock()
        if options.password_from_env:
            self._password = os.environ.get("OPENCODE_SERVER_PASSWORD")

    def bind(self) -> socket.socket:
        """The socket, not yet listening; without a free port the program ends."""
        family = socket.AF_INET6 if ":" in self.options.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)

        try:
            listener.bind((self.options.host, self.options.port))
        except OSError as error:
            write(f"Failed to start server. Is port {self.options.port} in use? ({error})\n", "stderr")
            os._exit(1)

        return listener

    def listen(self, listener: socket.socket) -> None:
        """Answer from now on."""
        listener.listen(128)
        threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def on_term(self, *_: object) -> None:
        """SIGTERM, as this server takes it."""
        if self.options.ignore_term:
            return

        time.sleep(self.options.term_delay or 0.0)

        while self.options.term_waits_for_streams and self.streams.open:
            time.sleep(0.02)

        if self.options.exit_on_stop is not None or self.options.term_waits_for_streams:
            os._exit(self.options.exit_on_stop or 0)

        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        os.kill(os.getpid(), signal.SIGTERM)

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                peer, _ = listener.accept()
            except OSError:  # it was shut down
                return
            threading.Thread(target=self._serve, args=(peer,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                peer = Peer(connection)
                self._respond(peer, peer.request())
            except OSError:
                return

    def _respond(self, peer: Peer, request: list[str]) -> None:
        method, target, _ = request[0].split(" ", 2)
        path = target.partition("?")[0]

        if self.options.log_requests:
            say(f"request {method} {target}")

        if not self._allowed(request):
            challenge = 'WWW-Authenticate: Basic realm="fake"\r\n'
            peer.answer("401", _JSON, '{"error":"unauthorized"}', challenge)
        elif chosen := self._chosen(path):
            status, body = chosen[0], "".join(chosen[1:])
            kind = _JSON if body.startswith(("{", "[")) else "text/plain"
            peer.reset() if status == "0" else peer.answer(status, kind, body)
        elif path == self.options.event_path:
            self.streams.answer(peer)
        elif (method, path) in _KNOWN:
            peer.answer("200", _JSON, _KNOWN[method, path])
        else:
            peer.answer("404", _JSON, '{"error":"not found"}')

    def _chosen(self, path: str) -> list[str]:
        """Status and body that `--answer` has for this request; none where it is silent about the path."""
        answers = [rest for chosen, *rest in self.options.answer if chosen == path]
        with self._lock:
            self._asked[path] = asked = self._asked.get(path, 0) + 1
        return (answers[min(asked, len(answers)) - 1] or ["200"]) if answers else []

    def _allowed(self, request: list[str]) -> bool:
        if self._password is None:
            return True
        token = base64.b64encode(f"opencode:{self._password}".encode()).decode()
        return any(line.lower() == f"authorization: basic {token}".lower() for line in request[1:])
