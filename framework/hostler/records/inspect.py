"""Inspects a server from another process: by its lock, its records and its last state."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec import Struct

from hostler.events.crash import CrashRecord
from hostler.model.states import State
from hostler.process.disk.directories import Directories
from hostler.process.disk.lock import Owner, lock_owner
from hostler.process.disk.run_record import RunRecord, boot_id, recorded_run
from hostler.process.tree.process_table import is_alive
from hostler.records.crash_store import CrashStore
from hostler.records.status_store import Status, StatusStore


class ServerInspection(Struct, frozen=True, kw_only=True):
    """One server, as it looks from outside at a moment.

    `owner` is the hostler that supervises it now. `status` is the last state on record, by any; `run`
    the record of its process; `crashes` are on disk, oldest first.
    """

    server: str
    now: datetime
    owner: Owner | None = None
    status: Status | None = None
    run: RunRecord | None = None
    crashes: Sequence[CrashRecord] = ()

    @property
    def state(self) -> State | None:
        """The state it is in now; None when that is not known."""
        status = self.status
        if status is None or (self.owner is not None and status.supervisor_pid != self.owner.pid):
            return None
        return status.state if self.owner is not None or status.state.at_rest else None

    @property
    def lost(self) -> bool:
        """Whether the hostler that supervised it ended without recording an end."""
        return self.owner is None and self.status is not None and not self.status.state.at_rest

    @property
    def rebooted(self) -> bool:
        """Whether the machine has rebooted since the last state was recorded."""
        return self.status is not None and self.status.boot_id != boot_id()

    @property
    def url(self) -> str | None:
        """Where it listens, as far as that is on record."""
        status, run = self.status, self.run
        return (status.url if status is not None else None) or (run.url if run is not None else None)

    @property
    def alive(self) -> bool:
        """Whether the process on record is still there."""
        run = self.run
        # Pids are reused, after a boot and within one; the start time identifies the process.
        if run is None or run.pid is None or run.boot_id != boot_id():
            return False
        return is_alive(run.pid, run.start_time or 0)

    @property
    def last_crash(self) -> CrashRecord | None:
        """The newest crash record."""
        return self.crashes[-1] if self.crashes else None


def inspect_server(server: str, namespace: str, directories: Directories) -> ServerInspection:
    """Find out about one server of a configuration. Nothing is touched, and nobody is disturbed."""
    data_dir = directories.data_for(namespace)
    return ServerInspection(
        server=server,
        now=datetime.now(UTC),
        owner=lock_owner(directories, namespace, server),
        status=StatusStore(data_dir).read(server),
        run=recorded_run(directories, namespace, server),
        crashes=[crash.record for crash in CrashStore(data_dir).read(server)],
    )
