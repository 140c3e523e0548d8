"""One spawn in the making: what pre_spawn edits, and where output goes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol, TypeAlias

from hostler.model import Line, OutputMode, StreamName

Cleanup: TypeAlias = Callable[[], None] | Callable[[], Awaitable[None]]


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
    followers: list[Callable[[Line], bool]] = field(default_factory=list)
        self.cleanups.append(cleanup)

    def remove_at_end(self, path: Path) -> None:
        """Remove a file or directory tree when the run ends, or at the next start if hostler was killed."""
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
