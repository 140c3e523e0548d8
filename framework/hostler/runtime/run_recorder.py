"""The record of one run on disk, from before the spawn until its tree is gone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any
from uuid import uuid4

from msgspec import Struct
from msgspec.structs import replace

from hostler.process.context import SupervisorContext
from hostler.process.disk.lock import NameLock
from hostler.process.disk.run_record import RunRecord
from hostler.process.tree.procfs import check_proc
from hostler.runtime.reporter import Reporter


class Noted(list[Path]):
    """Paths that are to be removed; `note` is called with each before it can be made."""

    def __init__(self, note: Callable[[Path], None]) -> None:
        super().__init__()
        self._note = note

    def append(self, path: Path) -> None:
        """Add a path, once it is on record."""
        self._note(path)
        super().append(path)


class RunRecorder(Struct, eq=False):
    """One run's record, and its place on the watchdog's list; errors are those of RunStore."""

    context: SupervisorContext
    reporter: Reporter
    lock: NameLock
    record: RunRecord | None = None

    def begin(self, argv: Iterable[str], temporary: Iterable[Path], cgroup: Path | None = None) -> str:
        """Write down what is about to be spawned; returns the id of the run."""
        # A path that was noted while the launch was prepared has begun the record already.
        run_id = uuid4().hex if self.record is None else self.record.run_id
        # Without /proc the processes of a killed run could not be found again, whatever the record says.
        check_proc()
        self.record = RunRecord.begin(
            run_id, self.context.namespace, self.reporter.name, argv=argv, temporary=temporary, cgroup=cgroup
        )
        self.context.store.write(self.lock, self.record)
        return run_id

    def note(self, path: Path) -> None:
        """Write down what is about to be made: a hostler that is killed before the spawn leaves it."""
        if self.record is None:
            self.begin((), [path])
        else:
            self.complete(temporary=(*self.record.temporary, path))

    def complete(self, **known: Any) -> None:
        """Add to the record what is known by now."""
        assert self.record is not None
        self.record = replace(self.record, **known)
        self.context.store.amend(self.lock, self.record)

    def unguard(self) -> None:
        """Tell the watchdog that nothing of this run is left to kill."""
        if self.record is not None:
            self.context.processes.watchdog.remove(self.record.run_id)

    def end(self, *, last: bool) -> None:
        """Have it stand in the record that the tree is gone, or remove it with the `last` run."""
        record, self.record = self.record, None
        try:
            if record is not None:
                self.context.store.end(self.lock, last=last)

        except OSError as error:
            self.reporter.notice("record_unusable", f"the run record cannot be removed: {error}", "warning")
