"""notify-ready: a server says itself when it is ready, by systemd's notification protocol (sd_notify(3))."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field

from hostler import Duration, Launch, Report, ServerView, Unhealthy, hookimpl, option

from hostler_plugins._option_checks import check_positive
from hostler_plugins.notify_ready.listener import NotifyListener
from hostler_plugins.notify_ready.sockets import bind_socket


@dataclass(eq=False)
class NotifyReady:
    """Gives the server a NOTIFY_SOCKET: it is ready when it sends READY=1, as it would to systemd.

    With `watchdog` it then has to send WATCHDOG=1 in time; each silence of that length is a failure.
    WATCHDOG=trigger restarts it at once. Its STATUS is shown. Only messages of the server's own processes
    count (Linux reports the sender), so a sender has to live until its message is read: `systemd-notify`
    waits for that, unless you call it with --no-block. File descriptors are not stored (FDSTORE).
    WATCHDOG_PID is not set, so any process of the server may send WATCHDOG=1.
    """

    watchdog: Duration | None = option(
        None, "How long a ready server may be silent (it gets WATCHDOG_USEC); default: no limit"
    )
    failures: int | None = option(
        None, "Number of silences in a row that are a crash; default: the server's max_connection_failures"
    )
    _listener: NotifyListener | None = field(init=False, default=None, repr=False)

    def __post_init__(self) -> None:
        check_positive(self, "watchdog", "failures")

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Make the socket, and tell the server of it."""
        socket, path = bind_socket(launch)
        self._listener = listener = NotifyListener(server, socket, self.watchdog, self.failures)
        launch.defer(listener.close)
        launch.env["NOTIFY_SOCKET"] = path
        launch.allowed.add("NOTIFY_SOCKET")
        # It would name hostler, and sd_watchdog_enabled(3) of the server takes another pid for "no watchdog".
        launch.env.pop("WATCHDOG_PID", None)

        if self.watchdog is not None:
            launch.env["WATCHDOG_USEC"] = str(round(self.watchdog * 1_000_000))
            launch.allowed.add("WATCHDOG_USEC")

        listener.begin()

    @hookimpl
    async def health_check(self, server: ServerView) -> AsyncGenerator[Report, None]:
        """Report what the server says of itself, and its silence."""
        listener = self._listener
        assert listener is not None

        if listener.last is None:
            yield Unhealthy("it has not said READY=1 yet", limit=1)
        elif not listener.reports:
            yield listener.last  # this is a second check of the same run

        while True:
            while listener.reports:
                yield listener.reports.popleft()
            try:
                async with asyncio.timeout_at(listener.deadline):
                    await listener.wait()
            except TimeoutError:
                listener.look_at_the_clock()
