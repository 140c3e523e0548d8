"""Errors as the control API tells them: problem details (RFC 9457), one kind for each reason."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hostler import (
    EnvironmentSetupFailed,
    EventStreamConnectionFailed,
    ForceKillTimeout,
    InvalidConfiguration,
    ListensTooWide,
    LogFileCreationFailed,
    PluginError,
    PortInUse,
    PortParsingFailed,
    ProcessAlreadyRunning,
    ProcessSpawnFailed,
    RestartNotIdle,
    Server,
    ServerCrashed,
    ServerError,
    StartupTimeout,
    State,
)
from hostler.control.shapes import Problem

_BUSY = 503

STATUSES: Mapping[str, tuple[int, str]] = {
    "malformed": (400, "The request is no HTTP"),
    "not_found": (404, "There is no such thing"),
    "unsupported": (404, "This hostler does not know that"),
    "method": (405, "This method is not for this resource"),
    "invalid_request": (422, "The request is wrong"),
    "invalid_configuration": (422, "The configuration is wrong"),
    "exists": (409, "There is one of this name"),
    "needed_by_others": (409, "Other servers need it"),
    "stale_generation": (409, "Another run is there by now"),
    "failed": (409, "The server failed"),
    "stopped": (409, "The server is stopped"),
    "not_idle": (409, "There was no quiet moment"),
    "timed_out": (504, "It is not done in time"),
    "unkillable": (500, "Something outlives SIGKILL"),
    "too_large": (413, "The body is too large"),
    "media_type": (415, "The body is no JSON"),
    "too_many": (503, "Too many clients"),
    "shutting_down": (503, "This hostler is ending"),
    "no_token": (401, "This needs a token"),
    "wrong_token": (401, "The token is wrong"),
    "not_allowed": (403, "That is not allowed"),
    "wrong_host": (421, "The request is for another host"),
    "internal": (500, "hostler failed"),
}
"""The kinds of problems, with the status and the title of each."""


class Refused(Exception):
    """Raised when a request cannot be answered as asked; holds the problem, and the allowed methods."""

    def __init__(self, kind: str, detail: str, *, allowed: str = "", **more: Any) -> None:
        super().__init__(detail)
        status, title = STATUSES[kind]
        self.kind = kind
        self.allowed = allowed
        if status == _BUSY:
            more.setdefault("retry_after", 1)
        self.problem = Problem(type=f"/problems/{kind}", title=title, status=status, detail=detail, **more)


KINDS: Mapping[type[ServerError], str] = {
    ServerError: "failed",
    InvalidConfiguration: "invalid_configuration",
    PortInUse: "failed",
    StartupTimeout: "timed_out",
    EventStreamConnectionFailed: "failed",
    ProcessSpawnFailed: "failed",
    ServerCrashed: "failed",
    PortParsingFailed: "failed",
    ListensTooWide: "failed",
    LogFileCreationFailed: "failed",
    EnvironmentSetupFailed: "failed",
    ProcessAlreadyRunning: "failed",
    RestartNotIdle: "not_idle",
    ForceKillTimeout: "unkillable",
    PluginError: "failed",
}
"""The kind of problem that each error of hostler is; `Problem.error` names its class."""


def refused(error: ServerError, server: Server | None = None) -> Refused:
    """The problem that an error of hostler is, of this server; every text of it is masked already."""
    context = error.context
    kind = KINDS[next(class_ for class_ in type(error).__mro__ if class_ in KINDS)]
    more: dict[str, Any] = {"error": type(error).__name__, "server": context.server or ""}
    if server is not None and server.state is State.FAILED and server.crashes:
        more["crash"] = server.crashes[-1].number
    if server is not None and type(error) is ServerError and server.is_settled() and not server.wanted:
        kind = "stopped"
    more |= {"hint": context.hint, "stdout": context.stdout, "stderr": context.stderr}
    if isinstance(error, InvalidConfiguration):
        more["mistakes"] = [str(problem) for problem in error.problems]
    if isinstance(error, ForceKillTimeout):
        more["pids"] = context.details.get("pids", [])
    return Refused(kind, context.message, **more)
