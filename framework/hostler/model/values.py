"""What plugins and callers are given and answer while servers live, all frozen."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import field
from enum import Enum
from functools import lru_cache
from types import MappingProxyType
from typing import Literal, TypeAlias

from hostler.errors import ServerError
from hostler.model.dataclass import dataclass

StreamName: TypeAlias = Literal["stdout", "stderr"]
_REACHABLE = MappingProxyType({"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1", "": "127.0.0.1"})  # noqa: S104


class _DefaultScheme(str):
    """The scheme of an endpoint made without one: "http", until the server's own `scheme` takes its place."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server can be reached. `host` is as announced, IPv6 without brackets.

    One that is made without a scheme gets the `scheme` of the server that it belongs to. One that is
    `aside` (a debugger's) is taken only where nothing else is announced in a third of `startup_timeout`.
    `near` is our own end, where it stands for one connection that is made already (its address and port).
    """

    host: str
    port: int
    scheme: str = _DefaultScheme("http")
    aside: bool = field(default=False, kw_only=True, compare=False, repr=False)
    near: tuple[str, int] | None = field(default=None, kw_only=True, compare=False, repr=False)

    @property
    def url(self) -> str:
        """The URL of this endpoint without a trailing slash; a wildcard host becomes loopback."""
        host = f"[{self.reachable_host}]" if ":" in self.reachable_host else self.reachable_host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def reachable_host(self) -> str:
        """The host to connect to: a wildcard becomes loopback, as does a name below `localhost`."""
        return (
            "localhost" if self.host.lower().endswith(".localhost") else _REACHABLE.get(self.host, self.host)
        )

    @property
    def says_scheme(self) -> bool:
        """Whether it was made with a scheme."""
        return not isinstance(self.scheme, _DefaultScheme)


@dataclass(frozen=True, slots=True)
class Auth:
    """Credentials for HTTP basic authentication; the password is left out of every repr."""

    user: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """The value of an Authorization header."""
        from base64 import b64encode  # noqa: PLC0415 - few servers have a password

        return "Basic " + b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Healthy:
    """A plugin's report that the server works; with `neutral` merely that nothing speaks against it.

    `details` are shown to whoever asks (`server.reports`). `latency` is how many seconds the answer took;
    `poll` measures it.
    """

    details: Mapping[str, object] = field(default_factory=dict)
    neutral: bool = False
    latency: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """A plugin's report of one failed attempt; one report counts as one failure.

    `fatal` asks for a restart at once, `permanent` for none at all: the server goes to failed with
    `error` (or one made from `reason`). `details` carries what was seen (status, bounded body). `limit`
    is how many in a row of this plugin are too many; None: the server's max_connection_failures.
    `retry_after` is the wait in seconds that the server asked for, which `poll` keeps up to 30 s. `hint`
    says what to do where that is known: it is reported at once while the server is not ready. `latency` is
    how many seconds the answer took; `poll` measures it.
    """

    reason: str
    details: Mapping[str, object] = field(default_factory=dict)
    fatal: bool = False
    permanent: bool = False
    error: ServerError | None = None
    limit: int | None = None
    retry_after: float | None = None
    hint: str = ""
    latency: float | None = field(default=None, compare=False)


Report: TypeAlias = Healthy | Unhealthy


class ExitCause(Enum):
    """Why a run ended."""

    EXITED = "exited"
    STARTUP_TIMEOUT = "startup_timeout"
    TASK_TIMEOUT = "task_timeout"
    UNHEALTHY = "unhealthy"
    SPAWN_FAILED = "spawn_failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of one run, passed to on_crash when the whole tree is dead.

    `code` is the exit code, or None with `signal` set, or both None when nothing had been spawned.
    `ready` tells whether this run had been ready. `error` is what the engine would raise for it.
    `stdout` and `stderr` are the last lines, redacted. `killed` tells that hostler ended the process.
    """

    cause: ExitCause
    generation: int
    code: int | None = None
    signal: int | None = None
    pid: int | None = None
    ready: bool = False
    killed: bool = False
    uptime: float = 0.0
    stdout: str = ""
    stderr: str = ""
    unhealthy: Unhealthy | None = None
    error: ServerError | None = None

    @property
    def description(self) -> str:
        """The end in words: "exit code 1", "killed by SIGKILL", "not started"."""
        if self.signal is not None:
            return f"killed by {signal_name(self.signal) or f'signal {self.signal}'}"
        unknown = "not started" if self.pid is None else "unknown exit status"
        return unknown if self.code is None else f"exit code {self.code}"


@lru_cache
def signal_name(number: int) -> str | None:
    """The name of a signal, such as "SIGTERM"; None for most of the real-time ones."""
    return next((one.name for one in signal.Signals if one == number), None)


class Action(Enum):
    """What a plugin advises after a crash, weakest first: a later one beats an earlier one."""

    RESTART_NOW = "restart now"
    BACK_OFF = "back off"
    GIVE_UP = "give up"


@dataclass(frozen=True, slots=True)
class Advice:
    """A plugin's answer to on_crash; `error`, where given, replaces the engine's own."""

    action: Action
    error: ServerError | None = None


@dataclass(frozen=True, slots=True)
class Line:
    """One complete line of output, without its end, redacted; `number` counts from 1 in each stream.

    `missed` lines of both streams were lost right before this one: who takes them was too slow.
    """

    stream: StreamName
    text: str
    number: int
    generation: int
    missed: int = 0


@dataclass(frozen=True, slots=True)
class StreamEvent:
    """One event of a server's event stream."""

    type: str
    data: str
    id: str = ""


@dataclass(frozen=True, slots=True)
class StreamGap:
    """A mark that events were lost here; `missed` is their number where it is known."""

    reason: str
    missed: int | None = None


@dataclass(frozen=True, slots=True)
class CommandResult:
    """How a command ended: `code`, or `signal`; both None when it was stopped because its time was up.

    `stdout` and `stderr` are the last 64 KiB of each, masked.
    """

    code: int | None
    signal: int | None
    stdout: str = ""
    stderr: str = ""

    @property
    def last_line(self) -> str:
        """The last line that is not empty, of stderr where there is one."""
        lines = [line.strip() for text in (self.stdout, self.stderr) for line in text.splitlines()]
        return next((line for line in reversed(lines) if line), "")


@dataclass(frozen=True, slots=True)
class ProcessUsage:
    """What one living process of a server uses: memory in bytes, times in seconds.

    `cpu` is the time of the processors that it has used itself, `waited_cpu` that of its children that have
    ended, and of theirs. `threads` counts its first one too. `parent` is the pid of its
    parent, which need not be of the tree.
    """

    pid: int
    name: str
    rss: int
    cpu: float = 0.0
    waited_cpu: float = 0.0
    threads: int = 1
    parent: int = 0
