"""The crash record: what is kept of a run that exited unexpectedly."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime
from typing import Any, Self

from hostler.events.serialization import Serializable
from hostler.model.dataclass import dataclass, field_names
from hostler.model.states import State
from hostler.model.values import ExitCause

KEPT = 20  # records of each server, in memory and on disk


@dataclass(frozen=True, slots=True)
class MemoryPoint(Serializable):
    """The resident memory of a whole process tree, in bytes, `uptime` seconds after the spawn.

    `cpu` are the seconds of the processors that its processes have used, and their ended children.
    """

    uptime: float
    rss: int
    processes: int = 1
    cpu: float = 0.0


@dataclass(frozen=True, slots=True)
class PluginNote(Serializable):
    """What one plugin said about a run, or what was wrong with the plugin itself, in words."""

    plugin: str
    hook: str
    text: str


PluginWord = PluginNote
"""The former name of PluginNote."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CrashRecord(Serializable):
    """One end of a run that was not asked for; every text in it is masked.

    `how` is the end in words ("killed by SIGKILL"), `reason` the sentence of the error and `error` its
    class, `hint` what to do. `killed` tells that hostler ended the process itself. `outcome` is the
    state that followed (backoff, failed or stopped), `decision` why. `next_try` is None where there is none.
    `first_start` tells that it has never been ready since it was started: the restarts are `start_retries`.
    `number` counts the records of the server, from 1 on in each life of its supervisor.
    """

    server: str
    generation: int
    when: datetime
    cause: ExitCause
    how: str
    reason: str
    outcome: State = State.CRASHED
    decision: str = ""
    error: str = ""
    hint: str = ""
    pid: int | None = None
    code: int | None = None
    signal: int | None = None
    ready: bool = False
    killed: bool = False
    uptime: float = 0.0
    restarts_used: int = 0
    restarts_allowed: int = 0
    first_start: bool = False
    next_try: datetime | None = None
    stdout: str = ""
    stderr: str = ""
    memory: tuple[MemoryPoint, ...] = ()
    plugins: tuple[PluginNote, ...] = ()
    number: int = 0

    @property
    def started(self) -> bool:
        """Whether there was a process."""
        return self.cause is not ExitCause.SPAWN_FAILED

    def masked(self, mask: Callable[[str], str]) -> Self:
        """Return the same with every text put through `mask`."""
        names = field_names(self)
        texts = {name: value for name in names if isinstance(value := getattr(self, name), str)}
        masked = {name: mask(value) for name, value in texts.items() if name != "server"}
        changed: dict[str, Any] = {name: value for name, value in masked.items() if value != texts[name]}
        if self.plugins:
            changed["plugins"] = tuple(replace(note, text=mask(note.text)) for note in self.plugins)
        return replace(self, **changed) if changed else self

    @classmethod
    def from_dict(cls, values: Mapping[str, object]) -> Self:
        """Read what `as_dict` gave; unknown keys are left out. ValueError when it is something else."""
        import msgspec  # noqa: PLC0415 - heavy

        record = msgspec.convert(values, cls)
        for time in (record.when, record.next_try or record.when):
            if time.tzinfo is None or not 2000 <= time.year < 9000:
                raise ValueError(f"no time of a crash: {time}")
        return record
