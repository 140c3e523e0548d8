"""What can go wrong with a call to a hostler, and how its problems become errors again."""

from __future__ import annotations

import msgspec

import hostler
from hostler import InvalidConfiguration, ServerError, __version__
from hostler.control.shapes import Problem


class NotRunning(ServerError):
    """Raised when no hostler supervises the configuration, or it has just ended."""


class Unreachable(ServerError):
    """Raised when a hostler cannot be talked to: it hangs, refuses, or went away before it had answered."""


class RequestRefused(ServerError):
    """Raised when a request is refused for a reason that is no error of a server.

    `kind` is the name of the problem, such as "not_found" or "stale_generation", `status` the HTTP status.
    `retry_after` are the seconds after which it may be tried again, where that helps.
    """

    def __init__(
        self,
        kind: str,
        status: int,
        detail: str,
        *,
        server: str | None = None,
        hint: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail, server=server, hint=hint)
        self.kind = kind
        self.status = status
        self.retry_after = retry_after


def error_of(status: int, body: bytes, version: str = __version__) -> Exception:
    """The error that an answer of this version tells: hostler's own class again, where it was one."""
    try:
        problem = msgspec.json.decode(body, type=Problem)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return Unreachable(f"it answered {status} with what is no problem of hostler")
    kind = problem.type.rpartition("/")[2]
    if problem.error:
        return _rebuilt(_class(problem.error), problem)
    if kind == "timed_out":
        return TimeoutError(problem.detail)
    hint = problem.hint or (other_version(version) if kind == "unsupported" else "")
    server, wait = problem.server or None, problem.retry_after
    return RequestRefused(kind, status, problem.detail, server=server, hint=hint, retry_after=wait)


def other_version(version: str) -> str:
    """What may be the reason where the one that answers is of another version."""
    if version in {"", __version__}:
        return ""
    return f"the hostler that answers is {version}, this is {__version__}"


def _class(name: str) -> type[ServerError]:
    """The class of this name; ServerError for one that only the other side has."""
    class_ = getattr(hostler, name) if name in hostler.__all__ else None
    return class_ if isinstance(class_, type) and issubclass(class_, ServerError) else ServerError


def _rebuilt(class_: type[ServerError], problem: Problem) -> ServerError:
    server = problem.server or None
    if issubclass(class_, InvalidConfiguration):
        mistakes = [hostler.Problem("", mistake) for mistake in problem.mistakes]
        return class_(mistakes or problem.detail, hint=problem.hint, server=server)
    return class_(
        problem.detail,
        server=server,
        hint=problem.hint,
        details=_details(problem),
        stdout=problem.stdout,
        stderr=problem.stderr,
    )


def _details(problem: Problem) -> dict[str, object]:
    """What an error of this process has in its details, and the `crash` by its number."""
    known = {"pids": problem.pids, "crash": problem.crash}
    return {name: value for name, value in known.items() if value}
