"""systemd: reports to hostler's own service manager: readiness, status, and the watchdog's keep-alive.

The protocol is that of sd_notify(3): lines of NAME=VALUE in a datagram to the socket in NOTIFY_SOCKET.
"""

from __future__ import annotations

import asyncio
import os
from dataclasses import dataclass, field
from functools import partial

from hostler import (
    Endpoint,
    Exit,
    Launch,
    ServerView,
    hookimpl,
    notify_systemd,
    option,
    watchdog_seconds,
)

_AGAIN_SECONDS = 0.1


@dataclass(eq=False)
class Systemd:
    """Reports the server to systemd: READY=1, STATUS=, and WATCHDOG=1 as long as hostler lives.

    Use it for a service of Type=notify that is to be ready when one server is. Without it `hostler run`
    reports for all servers (see `hostler service`). systemd takes the first READY=1 for the whole service,
    so with several servers, enable the plugin for the one that starts last (`needs`). When this server is
    stopped or has failed, the watchdog is switched off. Without NOTIFY_SOCKET, outside of systemd, the
    plugin does nothing. The server itself never gets the socket.
    """

    status: bool = option(True, "Whether `systemctl status` shows the server's state")
    _socket: str = field(init=False, repr=False, default="")
    _first: int | None = field(init=False, repr=False, default=None)
    _again: asyncio.TimerHandle | None = field(init=False, repr=False, default=None)

    @hookimpl
    async def pre_spawn(self, server: ServerView, launch: Launch) -> None:
        """Find the socket, and begin to say that hostler lives."""
        self._socket = launch.host_env.get("NOTIFY_SOCKET", "")
        if self._first is None:
            self._first = server.generation
            allowed = watchdog_seconds(launch.host_env, os.getpid())
            if self._socket and allowed is not None:
                server.start_soon(partial(self._beat, server, allowed), over_restarts=True)
        self._tell(server, f"{server.name}: starting")

    @hookimpl
    async def on_ready(self, server: ServerView, endpoint: Endpoint | None) -> None:
        """Say that the service is ready."""
        where = "" if endpoint is None else f" at {endpoint.url}"
        self._tell(server, f"{server.name}: running{where} (pid {server.pid})", "READY=1")

    @hookimpl
    async def on_crash(self, server: ServerView, exit: Exit) -> None:  # noqa: A002 - the hook's name for it
        """Say how it ended."""
        self._tell(server, f"{server.name}: crashed, {exit.description}")

    @hookimpl
    async def on_shutdown(self, server: ServerView, reason: str) -> None:
        """Say that it is being stopped."""
        self._tell(server, f"{server.name}: stopping, {reason}")

    async def _beat(self, server: ServerView, allowed: float) -> None:
        self._send(server, f"WATCHDOG_USEC={allowed * 1_000_000:.0f}")  # a former rest may have ended it
        try:
            while True:
                self._send(server, "WATCHDOG=1")
                # sd_watchdog_enabled(3) recommends half of the time.
                await asyncio.sleep(allowed / 2)
        finally:
            self._send(server, "WATCHDOG_USEC=0")

    def _tell(self, server: ServerView, text: str, *more: str) -> None:
        if self._again is not None:  # what it would tell again holds no longer
            self._again.cancel()
        status = (f"STATUS={' '.join(text.split())}",) if self.status else ()
        if more or status:
            self._send(server, *more, *status)

    def _send(self, server: ServerView, *lines: str) -> None:
        if not self._socket:
            return
        try:
            notify_systemd(self._socket, "\n".join(lines))
        except BlockingIOError:  # it has not read for a while: the next datagram tells the rest
            if "READY=1" in lines:  # else it would end the service
                loop = asyncio.get_running_loop()
                self._again = loop.call_later(_AGAIN_SECONDS, self._send, server, "READY=1")
        except OSError as error:
            self._socket = ""  # said once: nobody is there to listen any more
            text = f"systemd cannot be told anything any more: {error.strerror or error}"
            server.notice("systemd_gone", text, level="warning")
