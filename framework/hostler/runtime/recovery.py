"""The lock of a server's name, and what a hostler that had it and was killed has left."""

from __future__ import annotations

import anyio

from hostler.concurrency.threads import run_in_thread
from hostler.errors import EnvironmentSetupFailed
from hostler.process.context import SupervisorContext
from hostler.process.disk.lock import RETRY_INTERVAL, NameLock
from hostler.process.disk.run_record import kill_recorded
from hostler.runtime.reporter import Reporter


async def take_lock(context: SupervisorContext, name: str) -> NameLock:
    """Take the lock of a server's name; raises what `NameLock.attempts` raises when another holds it."""
    attempts = NameLock.attempts(context.directories, context.namespace, name, context.folders.secure)
    while (lock := next(attempts)) is None:  # noqa: ASYNC110 - nobody tells when a file is unlocked
        await anyio.sleep(RETRY_INTERVAL)
    return lock


async def recover(lock: NameLock, context: SupervisorContext, reporter: Reporter, timeout: float) -> None:
    """End and remove what the last holder of the lock has left, and report it.

    Raises EnvironmentSetupFailed after `timeout` seconds.
    """
    # Most starts: nothing to read, no thread, nothing to report.
    if context.store.is_clean(lock):
        return

    recovered = None
    reporter.note_activity("cleaning up after an earlier hostler that was killed")

    with anyio.move_on_after(timeout):
        recovered = await run_in_thread(context.store.recover, lock, kill_recorded, abandon_on_cancel=True)

    if recovered is None:
        raise EnvironmentSetupFailed(
            "cleaning up after an earlier hostler that was killed took longer than prepare_timeout",
            hint="perhaps its temporary files are on a disk that hangs",
        )

    if recovered.pids_killed:
        pids = ", ".join(map(str, recovered.pids_killed))
        text = f"an earlier hostler was killed and left processes, which have been ended: {pids}"
        reporter.notice("orphans_removed", text, "warning", {"pids": list(recovered.pids_killed)})

    if recovered.problem:
        reporter.notice("record_unusable", recovered.problem, "warning")
