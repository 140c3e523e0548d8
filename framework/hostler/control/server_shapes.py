"""What the control API answers about servers, as types."""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct

Wanted = Literal["up", "down"]


class HealthWord(Struct, kw_only=True):
    """What one health plugin reported last; `healthy` is null where the plugin itself failed."""

    plugin: str
    healthy: bool | None
    reason: str
    since: str


class Restarts(Struct, kw_only=True):
    """The restarts by itself: those `used` of `allowed` since it was last stable, and all of them."""

    used: int
    allowed: int
    next_try: str | None
    total: int


class Memory(Struct, kw_only=True):
    """The resident memory of the process tree, as sampled last."""

    rss: int
    processes: int
    at: str


class LastCrash(Struct, kw_only=True):
    """The newest unexpected exit."""

    number: int
    when: str
    how: str
    decision: str


class ServerRow(Struct, kw_only=True):
    """One server as it is now. `stop_asked`: somebody has stopped it, so only a start brings it back."""

    name: str
    kind: str
    template: str | None
    autostart: bool
    wanted: Wanted
    state: str
    since: str | None
    reason: str
    generation: int
    pid: int | None
    url: str | None
    uptime: float | None
    ready_seconds: float | None
    health: str
    health_words: list[HealthWord]
    restarts: Restarts
    memory: Memory | None
    cpu_seconds: float | None
    crashes: int
    last_crash: LastCrash | None
    events: int
    last_event: str | None
    completed: bool
    stuck: str | None
    hooks_out: list[str]
    needs: list[str]
    log: str | None
    lease_count: int = 0
    stop_asked: bool = False


class ServerList(Struct, kw_only=True):
    """All servers, in the configuration's order; `cursor` is the place of this snapshot among the events."""

    cursor: str
    next: str | None
    servers: list[ServerRow]


class Connection(Struct, kw_only=True):
    """What a program needs to talk to a server; `password` and `env` hold its credentials."""

    url: str | None
    generation: int
    user: str | None
    password: str | None
    env: dict[str, str]


class MemorySample(Struct, kw_only=True):
    """What all processes of one run used at one time; `cpu_seconds` since its beginning."""

    time: str
    generation: int
    rss: int
    processes: int
    cpu_seconds: float


class MemoryPage(Struct, kw_only=True):
    """The samples of the last hour, oldest first."""

    points: list[MemorySample]


class ProcessRow(Struct, kw_only=True):
    """One living process of a server: `parent` is a pid, `name` that of the program; no arguments."""

    pid: int
    parent: int
    name: str
    rss: int
    cpu_seconds: float
    threads: int


class ProcessTree(Struct, kw_only=True):
    """The processes of a server, parents before their children."""

    processes: list[ProcessRow]


class HookRow(Struct, kw_only=True):
    """What one hook of one plugin does for one server; `disabled` when it is called no more."""

    server: str
    plugin: str
    hook: str
    calls: int
    seconds: float
    failures: int
    disabled: bool


class PluginPage(Struct, kw_only=True):
    """All hooks of all plugins that were called."""

    hooks: list[HookRow]


class Work(Struct, kw_only=True):
    """What runs on a server, as its plugins tell; `idle` and `running` are null where nobody can tell."""

    idle: bool | None
    running: list[str] | None


class CrashPage(Struct, kw_only=True):
    """The records of a server's last unexpected exits, oldest first."""

    crashes: list[dict[str, Any]]
