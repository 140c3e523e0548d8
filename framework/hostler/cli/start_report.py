"""What a hostler in the background reports to the `hostler up` that has started it."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress

from hostler.errors import ProcessAlreadyRunning, ServerError
from hostler.events.events import Event, StateChanged
from hostler.model.states import State
from hostler.supervisor.supervisor import Supervisor

_ON_ITS_WAY = {State.STARTING, State.WAITING_READY, State.RUNNING}


class StartReport:
    """JSON lines on an inherited descriptor: that it listens, or why it ends; then the servers, once ready.

    The servers are reported only if all become ready at once: so `hostler up` need not wait until there is a
    server for HTTP. Where one does not, the end of the report says so. Without a descriptor nobody is told.
    """

    def __init__(self, descriptor: int | None) -> None:
        self._descriptor = descriptor
        self._unlisten: Callable[[], None] | None = None

    def fail(self, error: ServerError) -> None:
        """Report why this hostler ends, or that another one has the configuration."""
        exists = isinstance(error, ProcessAlreadyRunning) and "lock" in error.context.details
        self._write(exists=exists, error=str(error))
        self._close()

    def begin(self, supervisor: Supervisor) -> None:
        """Report that this hostler listens, and that its servers are ready when they are."""
        self._write(pid=os.getpid())
        self._unlisten = supervisor.listen(lambda event: self._on_event(supervisor, event))

    def _on_event(self, supervisor: Supervisor, event: Event) -> None:
        if not isinstance(event, StateChanged) or event.state in {State.STARTING, State.WAITING_READY}:
            return
        servers = supervisor.servers.values()
        asked = [one for one in servers if one.wanted or one.completed or one.state is State.FAILED]
        if asked and all(one.state is State.RUNNING or one.completed for one in asked):
            self._write(servers=_rows(supervisor))
            self._close()
        elif any(one.state not in _ON_ITS_WAY and not one.completed for one in asked):
            self._close()

    def _write(self, **values: object) -> None:
        if self._descriptor is not None:
            os.set_blocking(self._descriptor, False)  # whoever reads it holds up nothing
            with suppress(OSError):
                os.write(self._descriptor, json.dumps(values).encode() + b"\n")

    def _close(self) -> None:
        end, self._unlisten = self._unlisten, None
        descriptor, self._descriptor = self._descriptor, None
        if end is not None:
            end()
        if descriptor is not None:
            os.close(descriptor)


def _rows(supervisor: Supervisor) -> object:
    import msgspec  # noqa: PLC0415 - nothing may come before the first start

    from hostler.control.rows import server_row  # noqa: PLC0415

    return msgspec.to_builtins([server_row(server, None) for server in supervisor.servers.values()])
