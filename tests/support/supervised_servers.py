"""Supervisors whose events are kept, and servers that are waited for."""

from __future__ import annotations

import anyio
from hostler import Directories, Event, Exit, Exited, Server, ServerSpec, State, Supervisor


def supervised(spec: ServerSpec, directories: Directories, into: list[Event] | None = None) -> Supervisor:
    """A supervisor of one server; its events go into a list, where one is given."""
    supervisor = Supervisor(spec, directories=directories)
    if into is not None:
        supervisor.listen(into.append)
    return supervisor


def exits_of(supervisor: Supervisor) -> list[Exit]:
    """The ends of all runs from now on."""
    exits: list[Exit] = []
    supervisor.listen(lambda event: exits.append(event.exit) if isinstance(event, Exited) else None)
    return exits


async def reaches(server: Server, *wanted: State) -> None:
    """Wait until the server is in one of these states."""
    with anyio.fail_after(30):
        await server.until(lambda: server.state in wanted)


async def reaches_failed(server: Server) -> None:
    """Wait until it has failed; raises why."""
    await reaches(server, State.FAILED)
    assert server.error is not None
    raise server.error
