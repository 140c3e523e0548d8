"""The events that the engine emits, as frozen values."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from datetime import UTC, datetime
from typing import ClassVar

from hostler.events.crash import CrashRecord
from hostler.events.serialization import to_json
from hostler.model.dataclass import dataclass, field_names
from hostler.model.states import State
from hostler.model.values import Endpoint, Exit, Report, StreamEvent, StreamGap


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """The base of all events. `kind` is the value of "event" in JSON; `time` is the wall clock in UTC."""

    kind: ClassVar[str] = "event"
    unfolded: ClassVar[str] = ""  # a field that is not in JSON, or as fields of its own

    server: str
    generation: int
    time: datetime = field(default_factory=lambda: datetime.now(UTC))

    def as_dict(self) -> dict[str, object]:
        """The event as plain values for JSON: time, server, event, generation, then its own fields."""
        head: dict[str, object] = {"time": to_json(self.time), "server": self.server, "event": self.kind}
        apart = {"time", "server", self.unfolded}
        own = [name for name in field_names(self) if name not in apart]
        return head | {name: to_json(getattr(self, name)) for name in own}


@dataclass(frozen=True, slots=True, kw_only=True)
class StateChanged(Event):
    """The server moved from one state to another.

    `seconds` is the start-up time when it became running. `error` is set when it crashed or failed.
    """

    kind = "state"

    state: State
    previous: State
    pid: int | None = None
    url: str | None = None
    reason: str = ""
    seconds: float | None = None
    error: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Spawned(Event):
    """A process was started; argv is redacted, env holds names and masked values.

    `origins` tells who set each variable last (env, env_file PATH, plugin NAME ...), `removed` who took
    away one that had been set. `log_file` is where its output is written, where a plugin does that.
    """

    kind = "spawned"

    pid: int
    argv: tuple[str, ...]
    cwd: str
    env: Mapping[str, str]
    origins: Mapping[str, str] = field(default_factory=dict)
    removed: Mapping[str, str] = field(default_factory=dict)
    log_file: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointFound(Event):
    """The server listens: announced, and confirmed by a listening socket."""

    kind = "endpoint"

    endpoint: Endpoint
    source: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthReported(Event):
    """The report of a health plugin changed, or it failed once more; `failures` counts those in a row.

    `healthy` is None when nothing is known ("unknown"): the plugin itself failed. `details` are those of
    the report, masked and in JSON's types; `latency` is how many seconds the answer took, where it is known.
    """

    kind = "health"
    unfolded = "report"

    plugin: str
    healthy: bool | None
    reason: str = ""
    failures: int = 0
    details: Mapping[str, object] = field(default_factory=dict)
    latency: float | None = None
    report: Report | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Exited(Event):
    """A run ended and its tree is gone."""

    kind = "exit"
    unfolded = "exit"

    exit: Exit

    def as_dict(self) -> dict[str, object]:
        """The end as flat values."""
        own = ("cause", "pid", "code", "signal", "description", "uptime", "stderr")
        flat = {name: to_json(getattr(self.exit, name)) for name in own}
        return Event.as_dict(self) | flat | {"uptime": round(self.exit.uptime, 3)}


@dataclass(frozen=True, slots=True, kw_only=True)
class RestartScheduled(Event):
    """The next start is planned: "3 of 5 restarts used, next try in 4 s"; delay in seconds.

    `first_start` tells that it has never been ready since it was started: then `used` and `allowed` are
    those of `start_retries`.
    """

    kind = "restart"

    used: int
    allowed: int
    delay: float
    first_start: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashRecorded(Event):
    """A run exited unexpectedly and it is decided what follows; all that is known of it."""

    kind = "crash"
    unfolded = "record"

    record: CrashRecord

    def as_dict(self) -> dict[str, object]:
        """The record as flat values."""
        return Event.as_dict(self) | self.record.as_dict()


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginFailed(Event):
    """A hook of a plugin raised or overran its deadline; `disabled` when it was taken out.

    For a listener of the whole run, `hook` is "listen" and `server` is "".
    """

    kind = "plugin_failed"

    plugin: str
    hook: str
    reason: str
    seconds: float = 0.0
    disabled: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Progress(Event):
    """What is being done right now; `fraction` from 0 to 1 where it is known."""

    kind = "progress"

    text: str
    fraction: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Notice(Event):
    """Something worth knowing that is not a change of state.

    `topic` is a stable word that programs may rely on, `level` is "info" or "warning", and `text` is
    for people. Plugins add topics of their own.
    """

    kind = "notice"

    topic: str
    text: str
    level: str = "info"
    details: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class MemorySampled(Event):
    """The resident memory of the server's whole tree, in bytes, and the processor seconds of all of it."""

    kind = "memory"

    rss: int
    processes: int
    uptime: float
    cpu: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamReceived(Event):
    """One event of the server's own event stream (only where somebody asked to see them)."""

    kind = "stream"
    unfolded = "item"

    item: StreamEvent | StreamGap

    def as_dict(self) -> dict[str, object]:
        """The stream's event as flat values."""
        head = Event.as_dict(self)
        if isinstance(self.item, StreamGap):
            return head | {"gap": self.item.reason, "missed": self.item.missed}
        return head | {"type": self.item.type, "data": self.item.data, "id": self.item.id}


def events_dropped(count: int, server: str = "", generation: int = 0) -> Event:
    """What a listener gets in the place of events that came faster than it took them."""
    return Notice(
        server=server,
        generation=generation,
        topic="events_dropped",
        text=f"{count} events were dropped: this listener is too slow",
        level="warning",
        details={"count": count},
    )
