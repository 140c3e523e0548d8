"""What is configured, all frozen."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field, fields
from pathlib import Path
from typing import ClassVar, TypeVar

from hostler.errors import Problem
from hostler.model.choices import (
    HealthRule,
    IdentityCheck,
    InputMode,
    Kind,
    OutputMode,
    RestartMode,
    StopMode,
    StopSignal,
)
from hostler.model.dataclass import dataclass, field_names
from hostler.model.dependencies import Need, Needs, as_needs
from hostler.model.secret import Secret
from hostler.secrets.masking import Masker

Spec = TypeVar("Spec", bound="PluginSpec | RestartPolicy | ServerSpec")


@dataclass(frozen=True, slots=True)
class RestartPolicy:
    """The restart policy of one server; times in seconds."""

    policy: RestartMode = RestartMode.ON_FAILURE
    max_restarts: int = 5
    initial_delay: float = 0.5
    max_delay: float = 30.0
    stable_after: float = 10.0
    start_retries: int = 1
    wait_idle: float = 0.0

    def __post_init__(self) -> None:
        _convert_fields(self, "restart")


@dataclass(frozen=True, slots=True)
class PluginSpec:
    """One plugin of one server: its name in TOML, its options, and where its class is found.

    `use` is "package.module:Class" or "path/to/file.py:Class"; without it the name is looked up
    among the entry points of group "hostler.plugins". `instance` is a ready-made plugin object
    (from Python only) and goes before both. `base` is the directory that relative paths start from.
    """

    group: ClassVar[str] = "hostler.plugins"
    noun: ClassVar[str] = "plugin"

    name: str
    options: Mapping[str, object] = field(default_factory=dict, repr=False)
    use: str | None = None
    instance: object | None = None
    base: Path | None = None

    def __post_init__(self) -> None:
        _convert_fields(self, "plugin")


@dataclass(frozen=True, slots=True)
class ListenerSpec(PluginSpec):
    """One listener, a plugin of the whole run: as PluginSpec, with entry points of "hostler.listeners".

    `secrets`, `unset` and `environ` are those of ServerSpec.
    """

    group: ClassVar[str] = "hostler.listeners"
    noun: ClassVar[str] = "listener"

    secrets: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    unset: tuple[Problem, ...] = field(default=(), repr=False)
    environ: Mapping[str, str | None] = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class EnvFile:
    """A file of variables, `NAME=value` line by line, read at each start; an optional one may be missing."""

    path: Path
    optional: bool = False

    def __post_init__(self) -> None:
        _convert_fields(self, "env_file")


@dataclass(frozen=True, slots=True, kw_only=True)
class ServerSpec:
    """All that is configured of one server, key by key as in docs/configuration.md.

    Every value may be given as it stands in TOML: "5s", a word, a table as a mapping. InvalidConfiguration
    tells what cannot be used. Times are in seconds, paths absolute. `port`: 0 means a free one chosen before
    pre_spawn, None (`port = false`) means that the server has none, as every task. Without `title` its
    plugins or its name are its title. `task_timeout`: 0 is none. `success_exit_codes` holds numbers
    and names of signals. `secrets` are values to mask beside those under secret names; from TOML, what
    `${NAME}` of a secret name gave. `unset` are the places in TOML that refer to variables which are not
    set: a server with any cannot be started. `environ` takes the place of hostler's own environment, variable
    by variable (None: not set), where secrets are read and plugins copy from. `template` is the
    name of the one that it was made of.
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
    stdin: InputMode = InputMode.NULL
    stdout: OutputMode = OutputMode.CAPTURE
    stderr: OutputMode = OutputMode.CAPTURE
    prepare_timeout: float = 600.0
    startup_timeout: float = 30.0
    task_timeout: float = 0.0
    force_kill_timeout: float = 5.0
    stop: StopMode = StopMode.MAIN
    stop_signal: StopSignal = StopSignal.TERM
    success_exit_codes: tuple[int | str, ...] = ()
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
    secrets: frozenset[str] = field(default=frozenset(), repr=False, compare=False)
    unset: tuple[Problem, ...] = field(default=(), repr=False)
    environ: Mapping[str, str | None] = field(default_factory=dict, repr=False)
    template: str | None = field(default=None, repr=False, compare=False)

    def __post_init__(self) -> None:
        _convert_fields(self, f"servers.{self.name}")
        if self.kind is Kind.TASK and self.port == 0:
            # The default of `port` is that of a server; a task never has one.
            object.__setattr__(self, "port", None)

    def __repr__(self) -> str:
        """As that of any dataclass, with `secrets` masked."""
        shown = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in fields(self) if one.repr)
        return Masker(self.secrets).text(f"ServerSpec({shown})")

    @property
    def needed(self) -> tuple[Need, ...]:
        """What stands in `needs`, each spelled out."""
        return as_needs(self.needs)


@dataclass(frozen=True, slots=True, kw_only=True)
class ControlSpec:
    """How other programs reach the run, key by key as in `[control]`.

    `socket`: True is the usual place, False nowhere. `tcp` is "HOST:PORT", port 0 a free one.
    """

    socket: Path | bool = True
    tcp: str | None = None
    expose: bool = False
    certificate_file: Path | None = None
    key_file: Path | None = None

    def __post_init__(self) -> None:
        _convert_fields(self, "control")
        if self.tcp is not None:
            from hostler.model.schema.control_keys import refuse_mistakes  # noqa: PLC0415 - few have it

            refuse_mistakes(self)

    @property
    def address(self) -> tuple[str, int] | None:
        """Host and port of `tcp`."""
        if self.tcp is None:
            return None
        host, _, port = self.tcp.rpartition(":")
        return host.strip("[]"), int(port)


@dataclass(frozen=True, slots=True)
class Configuration:
    """One loaded configuration: servers by name, in order, and the namespace that their locks live in.

    `document` is the merged TOML before `${...}` was filled in: what `hostler show` prints, so that
    no value of the environment is ever written. `files` are those that it was read from, with those of
    its listeners. `namespace` is None where there is no file. `templates` make more servers: called with
    a name and the parameters as keywords, each gives a ServerSpec, or raises InvalidConfiguration.
    `listeners` follow all events, by name. `control` tells how other programs reach the run.
    """

    servers: Mapping[str, ServerSpec]
    namespace: str | None = None
    path: Path | None = None
    document: Mapping[str, object] = field(default_factory=dict, repr=False)
    files: tuple[Path, ...] = field(default=(), compare=False)
    templates: Mapping[str, Callable[..., ServerSpec]] = field(
        default_factory=dict, repr=False, compare=False
    )
    listeners: Mapping[str, ListenerSpec] = field(default_factory=dict)
    control: ControlSpec = field(default_factory=ControlSpec)


def environ_of(spec: ServerSpec | ListenerSpec, own: Mapping[str, str]) -> Mapping[str, str]:
    """The environment of hostler as a server or listener has it: `own`, with what stands in its spec."""
    if not spec.environ:
        return own
    return {name: value for name, value in {**own, **spec.environ}.items() if value is not None}


def replace_unchecked(spec: Spec, **values: object) -> Spec:
    """As `dataclasses.replace`, for values that readers gave: to check them again is a third of a load."""
    made = object.__new__(type(spec))
    for name in field_names(spec):
        object.__setattr__(made, name, values[name] if name in values else getattr(spec, name))
    return made


def _convert_fields(made: ControlSpec | EnvFile | PluginSpec | RestartPolicy | ServerSpec, key: str) -> None:
    """Have every field of a new value hold what it should; `key` is where it would stand in TOML.

    Raises InvalidConfiguration with every mistake that was found.
    """
    known = made.__dataclass_fields__
    given = {name: getattr(made, name) for name, one in known.items()}
    # A default is right as it is: RestartPolicy() and the like import no readers.
    given = {name: value for name, value in given.items() if not _is(value, known[name].default)}
    if given:
        from hostler.model.schema.python_values import read  # noqa: PLC0415 - the readers import this package

        for name, value in read(made, given, key).items():
            object.__setattr__(made, name, value)


def _is(value: object, default: object) -> bool:
    return value is default or (type(value) is type(default) and value == default)
