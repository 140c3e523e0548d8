"""Why a command for a server cannot be carried out, as errors."""

from __future__ import annotations

from hostler.engine.facts import ServerFacts
from hostler.errors import ProcessAlreadyRunning, ServerError
from hostler.model.states import State


def not_attended(server: ServerFacts) -> ServerError:
    """Nobody sees to it."""
    hint = "use it inside of `async with Supervisor(...)`"
    return ServerError("its supervisor does not run, or has removed it", server=server.name, hint=hint)


def at_rest(server: ServerFacts, attended: bool, because: str) -> ServerError:
    """It has failed, or is stopped `because` of something, and nobody has asked for it."""
    if server.state is State.FAILED and server.error is not None:
        return server.error
    if not attended:
        return not_attended(server)
    reason = f"it is stopped: {because}" if because else "it is stopped"
    return ServerError(reason, server=server.name, hint="call start() first")


def runs_already(server: ServerFacts) -> ProcessAlreadyRunning:
    """It cannot be started twice."""
    stdout, stderr = ("", "") if server.run is None else server.run.tails()
    error = ProcessAlreadyRunning(
        f"it runs already (pid {server.pid})",
        hint="use restart() to start it anew",
        details={"pid": server.pid, "url": server.url},
    )
    return server.reporter.own(error, stdout=stdout, stderr=stderr)
