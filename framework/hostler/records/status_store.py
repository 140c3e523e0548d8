"""The state of a server as it stands on disk, for other processes that ask why it is in it."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Self

from hostler.events.health import HealthReport
from hostler.events.serialization import Serializable
from hostler.model.dataclass import dataclass
from hostler.model.states import State
from hostler.process.disk.files import KeptFolder, file_name, found_folder, read_rewritten, rewrite_file
from hostler.process.disk.run_record import boot_id
from hostler.process.tree.process_table import own_start_time, start_time

if TYPE_CHECKING:
    from hostler.events.events import StateChanged


@dataclass(frozen=True, slots=True)
class Variables(Serializable):
    """Who set each variable of a server's environment, and who took some away, at one spawn."""

    generation: int
    since: datetime
    origins: Mapping[str, str]
    removed: Mapping[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Status(Serializable):
    """One server's state, since when and why; texts are masked. `health` is what plugins report, in words;
    `reports` are those reports, with their details.

    `variables` and `log_file` are those of its last spawn; `hooks_out` are the hooks that are out of
    use, with the reason. `supervisor_pid` and `supervisor_start` identify the process that wrote it,
    `boot_id` its boot.
    """

    server: str
    state: State
    since: datetime
    generation: int
    supervisor_pid: int
    supervisor_start: float
    boot_id: str
    pid: int | None = None
    url: str | None = None
    reason: str = ""
    health: tuple[str, ...] = ()
    reports: Mapping[str, HealthReport] = field(default_factory=dict)
    hooks_out: tuple[str, ...] = ()
    variables: Variables | None = None
    log_file: str | None = None

    @classmethod
    def after(cls, change: StateChanged, before: Self | None = None) -> Self:
        """The status of a server of this process, after a change of its state; `before` is that before it."""
        return cls(
            server=change.server,
            state=change.state,
            since=change.time,
            generation=change.generation,
            reason=change.reason,
            pid=change.pid,
            hooks_out=() if before is None else before.hooks_out,
            variables=None if before is None else before.variables,
            log_file=None if before is None else before.log_file,
            supervisor_pid=os.getpid(),
            supervisor_start=own_start_time(),
            boot_id=boot_id(),
        )

    @property
    def writer_is_alive(self) -> bool:
        """Whether the process that wrote it is still there."""
        return self.boot_id == boot_id() and start_time(self.supervisor_pid) == self.supervisor_start


class StatusStore:
    """The states of servers in one data directory: status/SERVER.json. Whoever writes one holds its lock."""

    def __init__(self, data_dir: Path) -> None:
        self._data_dir = data_dir
        self._folder = KeptFolder(data_dir, "status")
        # Both are remembered. Later there may be no descriptor left to read them with.
        boot_id(), own_start_time()

    def write(self, status: Status) -> None:
        """Put it in the place of the one before, as a whole or not at all. Not synced.

        OSError when the disk is full or refuses, EnvironmentSetupFailed when the data directory is not
        to be trusted.
        """
        data = json.dumps(status.as_dict()).encode()
        rewrite_file(f"{file_name(status.server)}.json", data, self._folder.open())

    def close(self) -> None:
        """Close the folder; it is opened again by the next `write`."""
        self._folder.close()

    def read(self, server: str) -> Status | None:
        """Read the status of a server; None where there is none, or none that makes sense."""
        import msgspec  # noqa: PLC0415 - heavy

        try:
            with found_folder(self._data_dir, "status") as folder:
                text = read_rewritten(f"{file_name(server)}.json", folder)
            status = msgspec.convert(json.loads(text), Status)
        except (OSError, ValueError, TypeError, RecursionError):
            return None
        return status if status.server == server and status.since.tzinfo is not None else None
