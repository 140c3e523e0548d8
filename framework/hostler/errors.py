"""Every error a user of hostler can meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from hostler.text.sanitize import harmless

_TAIL_LINES_IN_MESSAGE = 8


@dataclass(frozen=True, slots=True)
class ErrorContext:
    """What is known about one failure; every text in it is already redacted."""

    message: str
    server: str | None = None
    hint: str = ""
    details: Mapping[str, object] = field(default_factory=dict)
    stdout: str = ""
    stderr: str = ""


class ServerError(Exception):
    """The base of all errors: what happened, to which server, and what to do next.

    `permanent` says that trying again cannot help: no restart follows. `context` is what is known of it.
    """

    permanent: bool = False
    context: ErrorContext

    def __init__(
        self,
        message: str,
        *,
        server: str | None = None,
        hint: str = "",
        details: Mapping[str, object] | None = None,
        stdout: str = "",
        stderr: str = "",
        permanent: bool | None = None,
    ) -> None:
        super().__init__(message)
        self.context = ErrorContext(message, server, hint, dict(details or {}), stdout, stderr)
        if permanent is not None:
            self.permanent = permanent

    @property
    def message(self) -> str:
        """The sentence alone, without hint and output."""
        return self.context.message

    def with_context(
        self,
        *,
        server: str | None = None,
        stdout: str = "",
        stderr: str = "",
        details: Mapping[str, object] | None = None,
        permanent: bool = False,
    ) -> Self:
        """Fill in what the raiser did not know (the server's name, its last lines) and return self."""
        self.permanent = self.permanent or permanent
        old = self.context
        self.context = ErrorContext(
            old.message,
            old.server or server,
            old.hint,
            {**(details or {}), **old.details},
            old.stdout or stdout,
            old.stderr or stderr,
        )
        return self

    def replace_context(self, context: ErrorContext) -> None:
        """Have it say something else, such as the same with its secrets masked."""
        self.context = context
        self.args = (context.message,)

    def __str__(self) -> str:
        context = self.context
        text = f"{context.server}: {context.message}" if context.server else context.message

        if context.hint:
            text += f"\n  what to do: {context.hint}"

        output = context.stderr or context.stdout
        if output.strip():
            lines = output.rstrip().splitlines()[-_TAIL_LINES_IN_MESSAGE:]
            source = "stderr" if context.stderr else "stdout"
            text += f"\n  last lines of {source}:\n" + "\n".join(f"    {line}" for line in lines)

        return harmless(text)


@dataclass(frozen=True, slots=True)
class Problem:
    """One mistake in a configuration: where, what was found, what is allowed, what was probably meant.

    `file` is a str where it is no file, such as "--set servers.web.port=3000".
    """

    key: str
    message: str
    file: Path | str | None = None
    line: int | None = None
    proposal: str = ""
    column: int | None = None

    def __str__(self) -> str:
        place = "" if self.file is None else f"{self.file}:"
        place += "" if self.line is None else f"{self.line}:"
        place += "" if self.column is None else f"{self.column}:"
        text = " ".join(part for part in (place, f"{self.key}:" if self.key else "", self.message) if part)
        return f'{text}; did you mean "{self.proposal}"?' if self.proposal else text


class InvalidConfiguration(ServerError):
    """Raised when a configuration cannot be used; `problems` holds every mistake that was found."""

    permanent = True
    problems: tuple[Problem, ...]

    def __init__(
        self, problems: Sequence[Problem] | str, *, hint: str = "", server: str | None = None
    ) -> None:
        self.problems = (Problem("", problems),) if isinstance(problems, str) else tuple(problems)
        lines = [str(problem) for problem in self.problems]
        super().__init__("\n".join(lines), hint=hint, server=server, details={"problems": lines})


class PortInUse(ServerError):
    """Raised when another process listens where this server should, or already answers in its place."""


class StartupTimeout(ServerError):
    """Raised when a server is not ready in time (`startup_timeout`, or the time given to `wait_ready`)."""


class EventStreamConnectionFailed(ServerError):
    """Raised when the process is up and listens, but its event stream cannot be used: a partial start."""


class ProcessSpawnFailed(ServerError):
    """Raised when the program cannot be executed: not found, not executable, no directory, no permission."""


class ServerCrashed(ServerError):
    """Raised when a server exited unexpectedly and will not be restarted."""


class PortParsingFailed(ServerError):
    """Raised when a server's output never told where it listens; the output is in the context."""


class ListensTooWide(ServerError):
    """Raised when a server listens at more addresses than it may (`host`, `expose`)."""

    permanent = True


class LogFileCreationFailed(ServerError):
    """Raised when a log file cannot be created before the start."""


class EnvironmentSetupFailed(ServerError):
    """Raised when the child's environment, directories or user cannot be prepared, or would leak a secret."""


class ProcessAlreadyRunning(ServerError):
    """Raised when a server is started that runs already, here or under another hostler."""

    permanent = True


class RestartNotIdle(ServerError):
    """Raised when a restart that waits for a quiet moment found none; the details name what ran."""


class ForceKillTimeout(ServerError):
    """Raised when processes of a server outlive SIGKILL; `context.details["pids"]` names them."""


class PluginError(ServerError):
    """Raised when a plugin cannot be loaded, is malformed, or failed where nothing works without it."""

    permanent = True
