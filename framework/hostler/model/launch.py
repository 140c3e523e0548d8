"""One spawn in the making: what pre_spawn edits, and where output goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeAlias

from hostler.model.choices import InputMode, OutputMode
from hostler.model.dataclass import dataclass
from hostler.model.secret import Secret
from hostler.model.values import Line, StreamName

_CONFIGURED = frozenset({"env", "env_file"})
Cleanup: TypeAlias = Callable[[], None] | Callable[[], Awaitable[None]]


class Sink(Protocol):
    """Where captured output goes. Both are called on a thread of hostler, never two at a time.

    `data` is any piece of the output (masked), not a line. A sink that raises loses that piece, is
    named in a notice, and is tried again with the next.
    """

    def write(self, stream: StreamName, data: bytes) -> None:
        """Take one piece of output."""
        ...

    def close(self) -> None:
        """Flush and release everything; called once, after the last write."""
        ...


@dataclass(frozen=True, slots=True)
class LogFiles:
    """Where a sink writes lines of output, so that `hostler logs` finds them: `launch.facts["log"]`.

    Older files are expected beside `path`, as web.log.1 (the newest) or web.log.1.gz, and so on.
    """

    path: Path


class Confinement(Protocol):
    """A sandbox that a server is to run in: what is run or read for it beside it goes through it too."""

    async def enter(self, cwd: Path) -> tuple[Sequence[str], frozenset[str] | None]:
        """The argv in front of a command that works in `cwd`, and what the core leaves it of capabilities.

        None for all there are, where the sandbox itself takes them away.
        """
        ...

    def may_write(self, path: Path) -> bool:
        """Whether the server could change this file or folder, or the way to it."""
        ...


@dataclass(slots=True, kw_only=True)
class Launch:
    """One spawn in the making: the only value that is edited in place, built anew for every spawn.

    argv, cwd, env: what will be executed. `host_env` is the environment of hostler itself, to copy
    from. `allowed` holds names of variables that may carry secrets; `set_secret` adds to it.
    `user`, `group`, `groups` (supplementary ones, None for the user's own), `umask`, `no_new_privileges`,
    `capabilities` (the names of those that are kept, "net_bind_service", None for all there are) and
    `limits` (names as in prlimit, "nofile": 1024) are applied by the core. `wrapper` is an argv that runs
    the command, as that user: a sandbox. `confinement` is that sandbox for what else is run or read for the
    server, from the moment a plugin sets it, which it does before others act. `inputs` are the files that
    hostler reads again at the next start or reload: nothing that the server may change; `inputs_of_starts`
    are those that are read whenever a server starts, and whether they have to be there. `outputs` are folders
    of files that hostler writes: the server may write in them, but put nothing in their place. `cgroup` is a
    control group (version 2, with a name that nothing had before) made for this run alone: the child begins
    in it, and it is ended and removed with the run.
    `facts` are typed notes between plugins ("auth", "health_path", "version", "writable_paths", "is_idle",
    "what_runs", "log", "log_file").
    `origins` and `removed` tell who set or took away each variable, `editor` who edits it now:
    `edited_by` keeps them.
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
    stdin: InputMode = InputMode.NULL
    stdout: OutputMode = OutputMode.CAPTURE
    stderr: OutputMode = OutputMode.CAPTURE
    user: str | None = None
    group: str | None = None
    groups: tuple[str, ...] | None = None
    umask: int | None = None
    no_new_privileges: bool = True
    capabilities: frozenset[str] | None = None
    limits: dict[str, int] = field(default_factory=dict)
    wrapper: list[str] = field(default_factory=list)
    confinement: Confinement | None = field(default=None, repr=False)
    inputs: tuple[Path, ...] = ()
    inputs_of_starts: Mapping[Path, bool] = field(default_factory=dict)
    outputs: list[Path] = field(default_factory=list)
    cgroup: Path | None = None
    sinks: list[Sink] = field(default_factory=list)
    facts: dict[str, object] = field(default_factory=dict)
    allowed: set[str] = field(default_factory=set)
    secrets: dict[str, str] = field(default_factory=dict, repr=False)
    temporary: list[Path] = field(default_factory=list)
    cleanups: list[Cleanup] = field(default_factory=list)
    warm_ups: list[Callable[[], object]] = field(default_factory=list)
    followers: list[Callable[[Line], bool]] = field(default_factory=list)
    fork_hooks: list[Callable[[], object]] = field(default_factory=list)
    origins: dict[str, str] = field(default_factory=dict)
    removed: dict[str, str] = field(default_factory=dict)
    editor: str = ""
    live_env: Mapping[str, str] | None = field(default=None, repr=False)
    warn: Callable[[str], object] = field(default=str, repr=False)

    @property
    def names_port(self) -> bool:
        """Whether its command line or its environment names the port."""
        return any(str(self.port) in text for text in (*self.argv, *self.env.values()))

    @property
    def log(self) -> LogFiles | None:
        """Where lines of the output are written; None unless a plugin noted it as the fact "log"."""
        log = self.facts.get("log")
        return log if isinstance(log, LogFiles) else None

    @property
    def log_file(self) -> str | None:
        """Where the output is written; None unless a plugin noted a path as the fact "log" or "log_file"."""
        path = self.facts.get("log_file") if self.log is None else self.log.path
        return str(path) if isinstance(path, Path) else None

    @property
    def configured(self) -> frozenset[str]:
        """The variables that the configuration sets itself, in `env` or in an `env_file`."""
        return frozenset(name for name, who in self.origins.items() if who.partition(" ")[0] in _CONFIGURED)

    def set_secret(self, name: str, value: str) -> None:
        """Give the child a secret on purpose: set, allowed, and masked wherever it would be written.

        TypeError unless it is a string.
        """
        self.env[name] = a_string(f"the secret {name}", value)
        self.allowed.add(name)
        self.secrets[name] = value

    def read_secret(self, secret: Secret) -> str:
        """The value of an option that is a secret, as it is now; masked from now on.

        Errors are those of Secret.read.
        """
        value = secret.read(self.live_env, warn=self.warn)
        self.secrets[secret.secret] = value
        return value

    @contextmanager
    def edited_by(self, who: str) -> Iterator[None]:
        """Record `who` as the origin of every variable that is set, changed or removed meanwhile."""
        before, self.editor = dict(self.env), who
        try:
            yield
        finally:
            self.editor = ""
            for name in before.keys() - self.env.keys():
                self.origins.pop(name, None)
                self.removed[name] = who
            for name, value in self.env.items():
                if before.get(name) != value:
                    self.origins[name] = who
                    self.removed.pop(name, None)

    def discard_env(self) -> None:
        """Drop an environment that may hold anything now: nothing is started with it."""
        self.env = {}

    def take_sinks(self) -> tuple[Sink, ...]:
        """Hand the sinks over to whoever closes them; a list that a plugin keeps for its next run stays."""
        taken, self.sinks = tuple(self.sinks), []
        return taken

    def defer(self, cleanup: Cleanup) -> None:
        """Run `cleanup` when this run ends in any way, a failed pre_spawn included; last one first."""
        self.cleanups.append(cleanup)

    def remove_at_end(self, path: Path) -> None:
        """Remove a file or directory tree when the run ends, or at the next start if hostler was killed.

        Call it before it is made: it is written down at once. EnvironmentSetupFailed when that fails.
        """
        self.temporary.append(path)

    def warm_up(self, function: Callable[[], object]) -> None:
        """Call `function` in a worker thread once the child is spawned: for imports that are heavy."""
        self.warm_ups.append(function)

    def follow(self, function: Callable[[Line], bool]) -> None:
        """Call `function` with each line of this run, the first one included, for as long as it returns True.

        It is called on the event loop's thread. Lines are cut only while somebody wants them. Raising is
        told, and ends it.
        """
        self.followers.append(function)

    def on_fork(self, function: Callable[[], object]) -> None:
        """Call `function` in every forked child of the program that hosts us, while this run lasts.

        There it lets go of what the child must not hold, such as a file that is locked: nothing of the
        server is the child's.
        """
        self.fork_hooks.append(function)


def a_string(what: str, value: object) -> str:
    """The value, where it is a string; TypeError says what it is otherwise, not which."""
    if not isinstance(value, str):
        raise TypeError(f"{what} has to be a string, not {type(value).__name__}")
    return value
