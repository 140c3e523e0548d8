"""What the control API takes and answers, as types: JSON and its schema are made from them.

Durations are seconds, sizes bytes, times RFC 3339 in UTC with milliseconds. What is unknown is null.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta, Struct

Wanted = Literal["up", "down"]
When = Literal["now", "idle"]
LARGEST_PAGE = 1000
Words = dict[str, str]
Limit = Annotated[int, Meta(extra_json_schema={"minimum": 1, "maximum": LARGEST_PAGE})]
Seconds = Annotated[float, Meta(ge=0)]
Moment = Annotated[str, Meta(extra_json_schema={"format": "date-time"})]


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
    """One server as it is now."""

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
    lease_count: int = 0


class ServerList(Struct, kw_only=True):
    """All servers, in the configuration's order; `cursor` is the place of this snapshot among the events."""

    cursor: str
    next: str | None
    servers: list[ServerRow]


class Daemon(Struct, kw_only=True):
    """The hostler that answers."""

    version: str
    api: int
    pid: int
    since: str
    configuration: str
    namespace: str = ""
    cursor: str
    capabilities: list[str]


class Command(Struct, kw_only=True, forbid_unknown_fields=True):
    """How to carry out a command: with `wait` the answer comes when it is done, within `timeout` seconds."""

    wait: bool = True
    timeout: Seconds | None = None
    force: bool = False
    generation: Annotated[int, Meta(ge=0)] | None = None
    when: When = "now"
    within: Seconds = 600.0


class Commands(Command, kw_only=True, forbid_unknown_fields=True):
    """The same for several servers; without names for all."""

    names: list[str] = []


class Addition(Struct, kw_only=True, forbid_unknown_fields=True):
    """A server of a template, with values for its parameters."""

    template: str
    parameters: dict[str, str | int | float | bool | list[Any] | dict[str, Any]] = {}


class Outcome(Struct, kw_only=True):
    """What a command did to one server: `changed` is false where it was as asked before."""

    server: ServerRow
    changed: bool


class Outcomes(Struct, kw_only=True):
    """What a command did, for each server."""

    servers: list[Outcome]


class Reload(Struct, kw_only=True, forbid_unknown_fields=True):
    """With `dry_run` nothing is changed. The variables of `environment` replace those that hostler has.

    One that is null is not set. They are kept in memory, in no answer, and for later reloads, too. With
    `start` all are started that start by themselves, and were neither started nor stopped until now.
    """

    dry_run: bool = False
    start: bool = False
    environment: dict[str, str | None] | None = None


class Variables(Struct, kw_only=True):
    """Variables of the environment: `names`, and `patterns` of names as in the shell (`*`, `?`, `[...]`)."""

    names: list[str]
    patterns: list[str]


class Value(Struct, kw_only=True):
    """One value of a configuration: its dotted key, the value as TOML, and where it comes from."""

    key: str
    value: str
    origin: str


class Configuration(Struct, kw_only=True):
    """A configuration as it is on disk now, merged; `pending` are the servers that a reload would change."""

    toml: str
    values: list[Value]
    pending: list[str]


class KeyChange(Struct, kw_only=True):
    """One key of a server, before and after, secrets masked; null where it was not there."""

    key: str
    before: str | None
    after: str | None


class ListenerChanges(Struct, kw_only=True):
    """What a reload changed, or would change, of the listeners."""

    added: list[str]
    removed: list[str]
    changed: dict[str, list[KeyChange]]


class Changes(Struct, kw_only=True):
    """What a reload changed, or would change. `when_idle` are restarted once nothing runs on them.

    `control` are the keys of `[control]`, which apply when hostler is started anew.
    """

    added: list[str]
    removed: list[str]
    restarted: list[str]
    unchanged: list[str]
    changed: dict[str, list[KeyChange]]
    when_idle: list[str]
    listeners: ListenerChanges
    control: list[KeyChange]


class Connection(Struct, kw_only=True):
    """What a program needs to talk to a server; `password` and `env` hold its credentials."""

    url: str | None
    generation: int
    user: str | None
    password: str | None
    env: dict[str, str]


class EventPage(Struct, kw_only=True):
    """Events, oldest first. `missed` counts those before them that are not kept any more.

    `gap` is true where any behind the cursor may be missing, also where nobody knows how many: it is of
    another life of hostler.
    """

    events: list[dict[str, Any]]
    next: str
    missed: int
    gap: bool


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


class Problem(Struct, kw_only=True, omit_defaults=True):
    """An error, as RFC 9457 has it; `crash` is the number of a crash record, `retry_after` in seconds."""

    type: str
    title: str
    status: int
    detail: str
    server: str = ""
    error: str = ""
    hint: str = ""
    stdout: str = ""
    stderr: str = ""
    crash: int | None = None
    retry_after: int | None = None
    mistakes: list[str] = msgspec.field(default_factory=list)
    pids: list[int] = msgspec.field(default_factory=list)
