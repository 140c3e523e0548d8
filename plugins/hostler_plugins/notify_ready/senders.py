"""Filters messages by their sender: only those of the server's own processes count."""

from __future__ import annotations

import time

from hostler import ServerView

from hostler_plugins.notify_ready.sockets import Datagram

_BELIEVED = 1.0  # seconds for which an answer about one pid is kept


class Senders:
    """Admits the server's own messages; counts all others, and reports them as notices."""

    def __init__(self, server: ServerView) -> None:
        self._server = server
        self._known: dict[int, tuple[float, bool]] = {}
        self._refused = 0
        self._next = 1

    def admit(self, datagram: Datagram) -> bool:
        """Whether a message counts."""
        if not datagram.whole:
            self._refuse("it is larger than 4096 bytes")
            return False
        if datagram.pid is None or self._is_own(datagram.pid):  # None: a system that does not tell
            return True
        self._refuse(f"pid {datagram.pid} is not a living process of this server")
        return False

    def close(self) -> None:
        """Report the number of refused messages, unless a notice already has."""
        if self._refused > 1:
            self._say(f"{self._refused} messages to NOTIFY_SOCKET were refused in this run")

    def _is_own(self, pid: int) -> bool:
        now = time.monotonic()
        asked, own = self._known.get(pid, (0.0, False))

        if pid == self._server.pid:
            return True

        if not asked or now - asked > _BELIEVED:
            own = pid in self._server.members()
            self._known = {one: known for one, known in self._known.items() if now - known[0] <= _BELIEVED}
            self._known[pid] = now, own

        return own

    def _refuse(self, why: str) -> None:
        self._refused += 1
        if self._refused >= self._next:
            # The 1st, 10th, 100th ...: a flood of messages must not become a flood of notices.
            self._next *= 10
            self._say(f"a message to NOTIFY_SOCKET is refused: {why} ({self._refused} so far)")

    def _say(self, text: str) -> None:
        self._server.notice("notify_refused", text, level="warning", count=self._refused)
