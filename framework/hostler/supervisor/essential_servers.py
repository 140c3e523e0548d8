"""Essential servers: when one of them ends for good, the whole run ends."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress

import anyio

from hostler.engine.server import SupervisedServer
from hostler.errors import ServerError
from hostler.events.events import Event, StateChanged
from hostler.model.dataclass import dataclass
from hostler.model.states import State

ESSENTIAL_ENDED = "essential_ended"
"""The topic of the notice that reports it."""

_BY_SIGNAL = 128


@dataclass(frozen=True, slots=True)
class EssentialEnd:
    """The end of an essential server, which ends the run with `code`, its exit code (see `exit_code`)."""

    server: str
    code: int
    reason: str


class Essentials:
    """Follows the essential servers of one supervisor. `ended_by` is the first that ended for good.

    `stop` stops all servers in order. Used on the event loop's thread.
    """

    def __init__(self, servers: Mapping[str, SupervisedServer], stop: Callable[[], Awaitable[None]]) -> None:
        self.ended_by: EssentialEnd | None = None
        self._servers = servers
        self._stop = stop
        self._ended = anyio.Event()

    def on_event(self, event: Event) -> None:
        """Note an end; or a new start, after which the run continues."""
        server = self._servers.get(event.server)
        if not isinstance(event, StateChanged) or server is None or not server.spec.essential:
            return
        if event.state is State.STARTING and self.ended_by is not None:
            self.ended_by = None if self.ended_by.server == server.name else self.ended_by
        if self.ended_by is None and _ended_for_good(server, event.state):
            self.ended_by = EssentialEnd(server.name, exit_code(server), event.reason)
            self._ended.set()

    async def watch(self) -> None:
        """Report each end and stop all others."""
        while True:
            await self._ended.wait()
            self._ended = anyio.Event()
            if self.ended_by is not None:
                self._report(self.ended_by)
                # The server that cannot be stopped has reported it.
                with suppress(ServerError):
                    await self._stop()

    def is_over(self, server: SupervisedServer) -> bool:
        """Whether a server does nothing any more, or cannot be stopped although the run is to end."""
        at_rest = server.is_settled() and not server.is_revivable
        return at_rest or (self.ended_by is not None and server.status.unkillable is not None)

    def _report(self, end: EssentialEnd) -> None:
        server = self._servers[end.server]
        how = "has done its work" if server.state is State.STOPPED else "has failed"
        server.notice(
            ESSENTIAL_ENDED,
            f"it is essential and {how}: the run ends, with exit code {end.code}",
            level="warning" if end.code else "info",
            code=end.code,
        )


def exit_code(server: SupervisedServer) -> int:
    """The code with which a server that is at rest has ended.

    128 and the signal where one killed it; 1 where hostler ended it, or it never ran, or it failed with
    code 0; 0 for a task that has completed.
    """
    crash = server.crashes[-1] if server.crashes else None
    if crash is None or crash.generation != server.generation:
        return int(server.state is State.FAILED)
    code = crash.code if crash.signal is None else _BY_SIGNAL + crash.signal
    return 1 if crash.killed or code is None or (not code and server.state is State.FAILED) else code


def _ended_for_good(server: SupervisedServer, state: State) -> bool:
    """Whether it failed, or is stopped without a request."""
    requested = server.desired.stop_requested_for == server.generation or server.desired.is_up
    return (state is State.FAILED and not server.is_revivable) or (state is State.STOPPED and not requested)
