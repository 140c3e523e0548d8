"""The values that flow through hostler, all frozen."""

from __future__ import annotations

import base64
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from types import MappingProxyType
from typing import Literal, TypeAlias

from hostler.errors import ServerError
from hostler.needs import Need, Needs, spelled_out
from hostler.secret_value import Secret
from hostler.stop_order import StopMode, StopSignal

StreamName: TypeAlias = Literal["stdout", "stderr"]
_REACHABLE = MappingProxyType({"0.0.0.0": "127.0.0.1", "::": "::1", "*": "127.0.0.1", "": "127.0.0.1"})  # noqa: S104


class OutputMode(Enum):
    """What becomes of one output stream of a child."""

    CAPTURE = "capture"
    INHERIT = "inherit"
    IGNORE = "ignore"


class Kind(Enum):
    """What is kept: a server, which goes on, or a task, which runs to completion."""

    SERVER = "server"
    TASK = "task"


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


class HealthRule(Enum):
    """How many of its health plugins have to say that a server works."""

    ALL = "all"
    ANY = "any"


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


@dataclass(frozen=True, slots=True)
class EnvFile:
    """A file of variables, `NAME=value` line by line, read at each start; an optional one may be missing."""

    path: Path
    optional: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """All that is configured of one server, key by key as in docs/configuration.md.

    Times are in seconds, paths absolute. `port`: 0 means a free one chosen before pre_spawn, None
    (`port = false`) means that the server has none, as every task. Without `title` its plugins or its
    name are its title. `task_timeout`: 0 is none.
    """

    name: str
    kind: Kind = Kind.SERVER
    title: str = ""
    command: tuple[str, ...] = ()
    cwd: Path = field(default_factory=Path.cwd)
    host: str = "127.0.0.1"
    port: int | None = 0
    port_from_socket: bool = False
    scheme: str = "http"
    expose: bool = False
    env: Mapping[str, str | Secret] = field(default_factory=dict, repr=False)
    env_file: tuple[EnvFile, ...] = ()
    stdout: OutputMode = OutputMode.CAPTURE
    stderr: OutputMode = OutputMode.CAPTURE
    prepare_timeout: float = 600.0
    startup_timeout: float = 30.0
    task_timeout: float = 0.0
    force_kill_timeout: float = 5.0
    stop: StopMode = StopMode.MAIN
    stop_signal: StopSignal = StopSignal.TERM
    max_connection_failures: int = 3
    health: HealthRule = HealthRule.ALL
    restart: RestartPolicy = field(default_factory=RestartPolicy)
    needs: Needs = ()
    autostart: bool = True
    essential: bool = False
    identity: IdentityCheck = IdentityCheck.CHECK
    user: str | None = None
    group: str | None = None
    no_new_privileges: bool = True
    guard: bool = False
    memory_interval: float = 60.0
    plugins: tuple[PluginSpec, ...] = ()

    def __post_init__(self) -> None:
        if self.kind is Kind.TASK and self.port == 0:
            object.__setattr__(self, "port", None)

    @property
    def needed(self) -> tuple[Need, ...]:
        """What stands in `needs`, each spelled out."""
        return spelled_out(self.needs)


@dataclass(frozen=True, slots=True)
class Configuration:
    """One loaded configuration: servers by name, in order, and the namespace that their locks live in.

    `document` is the merged TOML before `${...}` was filled in: what `hostler show` prints, so that
    no value of the environment is ever written. `namespace` is None where there is no file. `templates`
    make more servers: called with a name and the parameters as keywords, each gives a ServerSpec, or
    raises InvalidConfiguration.
    """

    servers: Mapping[str, ServerSpec]
    namespace: str | None = None
    path: Path | None = None
    document: Mapping[str, object] = field(default_factory=dict)
    templates: Mapping[str, Callable[..., ServerSpec]] = field(
        default_factory=dict, repr=False, compare=False
    )


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server can be reached. `host` is as announced, IPv6 without brackets."""

    host: str
    port: int
    scheme: str = "http"

    @property
    def url(self) -> str:
        """The URL of this endpoint without a trailing slash; a wildcard host becomes loopback."""
        host = f"[{self.reachable_host}]" if ":" in self.reachable_host else self.reachable_host
        return f"{self.scheme}://{host}:{self.port}"

    @property
    def reachable_host(self) -> str:
        """The host to connect to: a wildcard becomes loopback."""
        return _REACHABLE.get(self.host, self.host)


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
    """A plugin's report that the server works; with `neutral` merely that nothing speaks against it."""

    details: Mapping[str, object] = field(default_factory=dict)
    neutral: bool = False


@dataclass(frozen=True, slots=True)
class Unhealthy:
    """A plugin's report of one failed attempt; one report counts as one failure.

    `fatal` asks for a restart at once, `permanent` for none at all: the server goes to failed with
    `error` (or one made from `reason`). `details` carries what was seen (status, bounded body). `limit`
    is how many in a row of this plugin are too many; None: the server's max_connection_failures.
    """

    reason: str
    details: Mapping[str, object] = field(default_factory=dict)
    fatal: bool = False
    permanent: bool = False
    error: ServerError | None = None
    limit: int | None = None


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
            unnamed = f"signal {self.signal}"  # most of the real-time ones
            return f"killed by {next((one.name for one in signal.Signals if one == self.signal), unnamed)}"

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
