"""Reads the notifications of one run, message by message."""

from __future__ import annotations

import asyncio
import os
import socket
from collections import deque
from collections.abc import Callable, Mapping

from hostler import Healthy, Report, ServerView, Unhealthy

from hostler_plugins.notify_ready.messages import StatusLine, parse, readable
from hostler_plugins.notify_ready.senders import Senders
from hostler_plugins.notify_ready.sockets import Datagram, receive

_AT_A_TIME = 16
_MOST_REPORTS = 100


class NotifyListener:
    """Reads the socket of one run from before its spawn to its end.

    `reports` are those that nobody has been told yet, `last` is the last of all.
    """

    def __init__(
        self, server: ServerView, ours: socket.socket, watchdog: float | None, failures: int | None
    ) -> None:
        self.reports: deque[Report] = deque(maxlen=_MOST_REPORTS)
        self.last: Report | None = None
        self._server = server
        self._socket = ours
        self._senders = Senders(server)
        self._status = StatusLine(self._show)
        self._watchdog = watchdog
        self._failures = failures
        self._pulse: float | None = None
        self._news = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._said: set[str] = set()

    @property
    def deadline(self) -> float | None:
        """When the next WATCHDOG=1 is due, in the loop's time; None when none is."""
        return None if self._pulse is None or self._watchdog is None else self._pulse + self._watchdog

    def begin(self) -> None:
        """Read from now on."""
        self._loop.add_reader(self._socket.fileno(), self._read)

    def close(self) -> None:
        """Read no more, and release the socket."""
        self._status.close()
        self._senders.close()
        if self._socket.fileno() >= 0:
            self._loop.remove_reader(self._socket.fileno())
            self._socket.close()

    async def wait(self) -> None:
        """Wait until there is something to report."""
        await self._news.wait()
        self._news.clear()

    def look_at_the_clock(self) -> None:
        """Report a silence that is too long, and begin to wait anew."""
        now = self._loop.time()
        if self._watchdog is not None and self.deadline is not None and now >= self.deadline:
            self._pulse = now
            self._report(Unhealthy(f"no WATCHDOG=1 for {self._watchdog:g} s", limit=self._failures))

    def _read(self) -> None:
        for _ in range(_AT_A_TIME):  # then others have their turn
            datagram = receive(self._socket)
            if datagram is None:
                return
            try:
                if self._senders.admit(datagram):
                    self._take(parse(datagram.data), datagram)
            finally:
                datagram.close()

    def _take(self, message: Mapping[str, str], datagram: Datagram) -> None:
        meanings: dict[str, Callable[[str], None]] = {
            "STATUS": self._status.show,
            "ERRNO": self._on_errno,
            "BUSERROR": lambda text: self._tell("notify_error", f"it reports the error {text}", "warning"),
            "MAINPID": lambda text: self._tell("notify_main_pid", f"it calls pid {text} its main process"),
            "READY": self._on_ready,
            "RELOADING": lambda _: self._tell("notify_reloading", "it is reloading its configuration"),
            "STOPPING": self._on_stopping,
            "WATCHDOG": self._on_watchdog,
            "WATCHDOG_USEC": self._on_watchdog_usec,
            "FDSTORE": lambda _: self._refuse("FDSTORE", "file descriptors are not stored for it"),
            "EXTEND_TIMEOUT_USEC": lambda _: self._refuse(
                "EXTEND_TIMEOUT_USEC", "its time is not extended: see startup_timeout"
            ),
        }
        for name, meaning in meanings.items():
            if name in message:
                meaning(readable(message[name]))

    def _on_ready(self, text: str) -> None:
        if text == "1":
            self._pulse = self._loop.time()
            self._report(Healthy({"status": self._status.text} if self._status.text else {}))

    def _on_stopping(self, text: str) -> None:
        if text == "1":
            self._pulse = None
            self._report(Unhealthy("it says that it is stopping (STOPPING=1)"))

    def _on_watchdog(self, text: str) -> None:
        if text == "trigger":
            self._report(Unhealthy("it asks for its restart (WATCHDOG=trigger)", fatal=True))
        elif text == "1" and self._pulse is not None:
            self._pulse = self._loop.time()
            if isinstance(self.last, Unhealthy):
                self._report(Healthy())

    def _on_watchdog_usec(self, text: str) -> None:
        """It wants to be given more time, or less; only where there is a watchdog."""
        if self._watchdog is not None and text.isdigit() and 0 < len(text) < 16 and int(text):
            self._watchdog = int(text) / 1_000_000
            self._news.set()

    def _on_errno(self, text: str) -> None:
        number = int(text) if text.isdigit() and len(text) < 6 else 0
        said = f"{os.strerror(number)} (ERRNO={number})" if number else f"ERRNO={text}"
        self._tell("notify_error", f"it reports the error {said}", "warning")

    def _refuse(self, what: str, why: str) -> None:
        if what not in self._said:
            self._said.add(what)
            self._tell("notify_refused", f"it asks for {what}: {why}", "warning")

    def _tell(self, topic: str, text: str, level: str = "info") -> None:
        self._server.notice(topic, text, level=level)

    def _show(self, text: str) -> None:
        if self._pulse is None and self.last is None:
            self._server.progress(text)
        else:
            self._server.notice("notify_status", text)

    def _report(self, report: Report) -> None:
        self.last = report
        self.reports.append(report)
        self._news.set()
