"""The values that flow through hostler: all frozen, but for `Launch`, which pre_spawn edits."""

from __future__ import annotations

import base64
import signal
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Literal, Protocol, TypeAlias

from hostler.errors import ServerError

StreamName: TypeAlias = Literal["stdout", "stderr"]
_REACHABLE = MappingProxyType({"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1", "": "127.0.0.1"})  # noqa: S104
Cleanup: TypeAlias = Callable[[], None] | Callable[[], Awaitable[None]]


class OutputMode(Enum):
    """What becomes of one output stream of a child."""

    CAPTURE = "capture"
    INHERIT = "inherit"
    IGNORE = "ignore"


class RestartMode(Enum):
    """When a server that ended unasked is started again."""

    ON_FAILURE = "on-failure"
    ALWAYS = "always"
    NEVER = "never"


class IdentityCheck(Enum):
    """What is asked of the process that listens at the announced endpoint."""

    REQUIRE = "require"
    CHECK = "check"
    OFF = "off"


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The restart law of one server; times in seconds."""

    policy: RestartMode = RestartMode.ON_FAILURE
    max_restarts: int = 5
    initial_delay: float = 0.5
    max_delay: float = 30.0
    stable_after: float = 10.0
    start_retries: int = 1


@dataclass(frozen=True, slots=True)
class PluginSpec:
    """One plugin of one server: its name in TOML, its options, and where its class is found.

    `use` is "package.module:Class" or "path/to/file.py:Class"; without it the name is looked up
    among the entry points of group "hostler.plugins". `instance` is a ready-made plugin object
    (from Python only) and goes before both. `base` is the directory that relative paths start from.
    """

    name: str
    options: Mapping[str, object] = field(default_factory=dict, repr=False)
    use: str | None = None
    instance: object | None = None
    base: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """All that is configured of one server, key by key as in docs/configuration.md.

    Times are in seconds, paths absolute. `port`: 0 means a free one chosen before pre_spawn, None
    (`port = false`) means that the server has none. Without `title` its plugins or its name are its title.
    """

    name: str
    title: str = ""
    command: tuple[str, ...] = ()
    cwd: Path = field(default_factory=Path.cwd)
    host: str = "127.0.0.1"
    port: int | None = 0
    port_from_socket: bool = False
    scheme: str = "http"
    expose: bool = False
    env: Mapping[str, str] = field(default_factory=dict, repr=False)
    stdout: OutputMode = OutputMode.CAPTURE
    stderr: OutputMode = OutputMode.CAPTURE
    prepare_timeout: float = 600.0
    startup_timeout: float = 30.0
    force_kill_timeout: float = 5.0
    max_connection_failures: int = 3
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    needs: tuple[str, ...] = ()
    autostart: bool = True
    identity: IdentityCheck = IdentityCheck.CHECK
    user: str | None = None
    group: str | None = None
    no_new_privileges: bool = True
    guard: bool = False
    memory_interval: float = 60.0
    plugins: tuple[PluginSpec, ...] = ()


@dataclass(frozen=True, slots=True)
class Configuration:
    """One loaded configuration: servers by name, in order, and the namespace that their locks live in.

    `document` is the merged TOML before `${...}` was filled in: what `hostler show` prints, so that
    no value of the environment is ever written. `namespace` is None where there is no file.
    """

    servers: Mapping[str, ServerSpec]
    namespace: str | None = None
    path: Path | None = None
    document: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server can be reached. `host` is as announced, IPv6 without brackets."""

    host: str
    port: int
    scheme: str = "http"

    @property
    def url(self) -> str:
        """The URL of this endpoint without a trailing slash; a wildcard host becomes loopback."""
        host = _REACHABLE.get(self.host, self.host)
        host = f"[{host}]" if ":" in host else host
        return f"{self.scheme}://{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Auth:
    """Credentials for HTTP basic authentication; the password is left out of every repr."""

    user: str
    password: str = field(repr=False)

    @property
    def header(self) -> str:
        """The value of an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode()


@dataclass(frozen=True, slots=True)
class Healthy:
    """A plugin's report that the server works."""

    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """A plugin's report of one failed attempt; one report counts as one failure.

    `fatal` asks for a restart at once, `permanent` for none at all: the server goes to failed with
    `error` (or one made from `reason`). `details` carries what was seen (status, bounded body).
    """

    reason: str
    details: Mapping[str, object] = field(default_factory=dict)
    fatal: bool = False
    permanent: bool = False
    error: ServerError | None = None


Report: TypeAlias = Healthy | Unhealthy


class ExitCause(Enum):
    """Why a run ended."""

    EXITED = "exited"
    STARTUP_TIMEOUT = "startup_timeout"
    UNHEALTHY = "unhealthy"
    SPAWN_FAILED = "spawn_failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of one run, told to on_crash when the whole tree is dead.

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
            names = {number.value: number.name for number in signal.Signals}
            return f"killed by {names.get(self.signal, f'signal {self.signal}')}"

        unknown = "not started" if self.pid is None else "unknown exit status"
        return unknown if self.code is None else f"exit code {self.code}"


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
    """One complete line of output, without its end, redacted; `number` counts from 1 in each stream."""

    stream: StreamName
    text: str
    number: int
    generation: int


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


class Sink(Protocol):
    """Where captured output goes. Both are called on the output thread, never two at a time.

    `data` is any piece of the output (masked), not a line. A sink that raises OSError loses that
    piece, is named in an event, and is tried again with the next.
    """

    def write(self, stream: StreamName, data: bytes) -> None:
        """Take one piece of output."""
        ...

    def close(self) -> None:
        """Flush and release everything; called once, after the last write."""
        ...


@dataclass(slots=True, kw_only=True)
class Launch:
    """One spawn in the making: the only value that is edited in place, built anew for every spawn.

    argv, cwd, env: what will be executed. `host_env` is the environment of hostler itself, to copy
    from. `allowed` holds names of variables that may carry secrets; `set_secret` adds to it.
    `user`, `group`, `no_new_privileges` and `limits` (names as in prlimit, "nofile": 1024) are
    applied by the core. `facts` are typed notes between plugins ("auth", "health_path", "version").
    `data_dir` is where outputs with relative paths go, `cache_dir` is hostler's cache.
    """

    server: str
    generation: int
    argv: list[str]
    cwd: Path
    env: dict[str, str] = field(repr=False)
    host: str
    port: int | None
    data_dir: Path
    cache_dir: Path
    host_env: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), repr=False)
    stdout: OutputMode = OutputMode.CAPTURE
    stderr: OutputMode = OutputMode.CAPTURE
    user: str | None = None
    group: str | None = None
    no_new_privileges: bool = True
    limits: dict[str, int] = field(default_factory=dict)
    sinks: list[Sink] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    allowed: set[str] = field(default_factory=set)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    temporary: list[Path] = field(default_factory=list)
    cleanups: list[Cleanup] = field(default_factory=list)
    warm_ups: list[Callable[[], object]] = field(default_factory=list)

    def set_secret(self, name: str, value: str) -> None:
        """Give the child a secret on purpose: set, allowed, and masked wherever it would be written."""
        self.env[name] = value
        self.allowed.add(name)
        self.secrets[name] = value

    def defer(self, cleanup: Cleanup) -> None:
        """Run `cleanup` when this run ends in any way, a failed pre_spawn included; last one first."""
        self.cleanups.append(cleanup)

    def remove_at_end(self, path: Path) -> None:
        """Remove a file or directory tree when the run ends, or at the next start if hostler was killed."""
        self.temporary.append(path)

    def warm_up(self, function: Callable[[], object]) -> None:
        """Call `function` in a worker thread once the child is spawned: for imports that are heavy."""
        self.warm_ups.append(function)
