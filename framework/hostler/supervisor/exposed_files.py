"""Files that a server could have changed: not to be read again before their user has looked at them."""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from hostler.engine.server import SupervisedServer
from hostler.errors import InvalidConfiguration, ServerError
from hostler.process.context import exposed


async def refuse_exposed(servers: Iterable[SupervisedServer]) -> None:
    """Refuse to read what a server could have changed, once: its user is to look at it first.

    A server that still could is restarted before, so that what the user sees is what will be read. Raises
    InvalidConfiguration.
    """
    files: dict[Path, str] = {}

    for server in servers:
        context = server.context
        if server.run is not None and exposed(server.run.launch, context.inputs):
            # Whether it comes up again does not matter: this run of it has ended.
            with suppress(ServerError):
                await server.restart(generation=server.generation)
        files.update(context.exposure.take())

    if files:
        path, name = next(iter(files.items()))
        more = f" (and {len(files) - 1} more)" if len(files) > 1 else ""
        raise InvalidConfiguration(
            f"{path}{more} was replaced or made while the server {name} could write it in its sandbox",
            hint="look at what stands there now, which the server cannot change any more; then reload again",
        )
