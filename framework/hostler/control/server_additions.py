"""The handlers of the control API that add servers of templates, and remove servers."""

from __future__ import annotations

import asyncio

from hostler import InvalidConfiguration, ServerError, Supervisor
from hostler.control import shapes
from hostler.control.event_ring import EventRing
from hostler.control.problems import Refused
from hostler.control.routes import Call, Route
from hostler.control.rows import server_row


class ServerAdditions:
    """Answers requests to add and to remove servers of one supervisor."""

    def __init__(self, supervisor: Supervisor, ring: EventRing) -> None:
        self._supervisor = supervisor
        self._ring = ring

    async def put(self, call: Call) -> tuple[int, object]:
        """Add a server of a template; 200 when there is the same already."""
        name, wanted = call.parts["name"], call.body
        status = 201
        try:
            await self._supervisor.add(wanted.template, name, **wanted.parameters)
        except InvalidConfiguration:
            raise
        except ServerError:
            # The supervisor decides: another client may have been faster.
            if name not in self._supervisor.servers:
                raise
            await self._refuse_another(name, wanted)
            status = 200
        server = self._supervisor[name]
        return status, server_row(server, self._ring.memory.last(server))

    async def delete(self, call: Call) -> tuple[int, object]:
        """Stop a server, and forget it when nothing of it is left."""
        name = call.parts["name"]
        if name not in self._supervisor.servers:
            raise Refused("not_found", f"there is no server {name!r}")
        servers = self._supervisor.servers.values()
        others = [one.name for one in servers if name in {need.server for need in one.spec.needed}]
        if others:
            text = f"it cannot be removed: {', '.join(others)} {'needs' if len(others) == 1 else 'need'} it"
            hint = f"remove {', '.join(others)} first"
            raise Refused("needed_by_others", text, server=name, hint=hint)
        await self._supervisor.remove(name)
        return 204, None

    def routes(self) -> tuple[Route, ...]:
        """Its part of the table."""
        path = "/v1/servers/{name}"
        wrong = ("invalid_configuration", "exists", "failed")
        kept = ("not_found", "needed_by_others", "unkillable", "failed")
        row, body = shapes.ServerRow, shapes.Addition
        return (
            Route("PUT", path, self.put, row, body=body, statuses=(200, 201), problems=wrong),
            Route("DELETE", path, self.delete, None, statuses=(204,), problems=kept),
        )

    async def _refuse_another(self, name: str, wanted: shapes.Addition) -> None:
        """Raise Refused unless the server of this name is as it would be made."""
        make = self._supervisor.templates.get(wanted.template)
        made = None if make is None else await asyncio.to_thread(make, name, **wanted.parameters)
        server = self._supervisor.servers.get(name)
        if server is None or made != server.spec:
            raise Refused("exists", "there is another server of this name", server=name)
