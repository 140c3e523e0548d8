"""What hostler itself tells systemd where it is a service of Type=notify, by the protocol of sd_notify(3)."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Mapping
from contextlib import suppress

from hostler.events.events import Event, StateChanged
from hostler.model.states import State
from hostler.process.net.systemd_notify import notify_systemd, watchdog_seconds
from hostler.supervisor.handle import Server
from hostler.supervisor.supervisor import Supervisor
from hostler.text.sanitize import one_line

_PLUGIN = "systemd"
_AGAIN_SECONDS = 0.1  # when it has not read for a while


class SystemdReport:
    """READY=1 when all servers that are wanted are ready or were given up, STATUS=, and WATCHDOG=1.

    Where a server has the plugin `systemd`, that tells all of it.
    """

    def __init__(
        self, supervisor: Supervisor, environ: Mapping[str, str], is_ending: Callable[[], bool]
    ) -> None:
        self._supervisor = supervisor
        self._environ = environ
        self._is_ending = is_ending
        self._told: set[str] = set()
        self._later: asyncio.TimerHandle | None = None

    async def serve(self) -> None:
        """Tell it all until it is cancelled."""
        servers = self._supervisor.servers.values()
        if any(plugin.name == _PLUGIN for server in servers for plugin in server.spec.plugins):
            return
        end = self._supervisor.listen(self._on_event)
        try:
            await self._beat(watchdog_seconds(self._environ, os.getpid()))
        finally:
            end()
            if self._later is not None:
                self._later.cancel()

    async def _beat(self, allowed: float | None) -> None:
        while allowed is not None:
            with suppress(BlockingIOError):  # the next one tells it
                self._send("WATCHDOG=1")
            await asyncio.sleep(allowed / 2)  # as sd_watchdog_enabled(3) recommends
        await asyncio.Event().wait()

    def _on_event(self, event: Event) -> None:
        if isinstance(event, StateChanged) and self._later is None:
            self._look()

    def _look(self) -> None:
        self._later = None
        servers = self._supervisor.servers.values()
        asked = [one for one in servers if one.wanted or one.completed or one.state is State.FAILED]
        lines = [f"STATUS={_status(asked)}"]
        if self._is_ending():
            lines.append("STOPPING=1")
        elif any(map(_is_up, asked)) and all(_is_up(one) or one.state is State.FAILED for one in asked):
            lines.append("READY=1")
        self._tell(lines)

    def _tell(self, lines: list[str]) -> None:
        """Tell what was not told yet: of the status the last one."""
        new = [line for line in lines if line not in self._told]
        if not new:
            return
        try:
            self._send("\n".join(new))
        except BlockingIOError:  # a READY=1 that is lost would have it end the service
            self._later = asyncio.get_running_loop().call_later(_AGAIN_SECONDS, self._look)
        else:
            self._told = {line for line in self._told if not line.startswith("STATUS=")} | set(lines)

    def _send(self, text: str) -> None:
        try:
            notify_systemd(self._environ["NOTIFY_SOCKET"], text)
        except BlockingIOError:
            raise
        except OSError:
            pass  # where nobody listens any more, nobody misses it


def _is_up(server: Server) -> bool:
    return server.state is State.RUNNING or server.completed


def _status(servers: list[Server]) -> str:
    rest = [f"{server.name}: {server.state.value}" for server in servers if not _is_up(server)]
    return one_line("; ".join([f"{len(servers) - len(rest)} of {len(servers)} ready", *rest]))
