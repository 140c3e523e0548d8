"""What the lifecycle of one server owns: its state, its run, its plugins, its lock, its port."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from hostler.engine.server import SupervisedServer
from hostler.errors import ServerError
from hostler.events.crash import KEPT, CrashRecord, PluginNote
from hostler.events.events import CrashRecorded, StateChanged
from hostler.model.spec import ServerSpec
from hostler.model.states import MOVES, State
from hostler.plugins.host import PluginHost
from hostler.process.disk.lock import NameLock
from hostler.runtime.base_run import Run
from hostler.runtime.plugin_failures import build_plugins

_MOST_FAILURES = 50  # of plugins, kept for a crash record: one may fail each second of a run


class LifecycleState:
    """The only writer of a server's status, which it publishes after each change.

    Plugins and lock are kept over the restarts of one start, and released when the server is stopped or has
    failed; the port is remembered longer. `checked_certificates` are paths that were looked at already.
    """

    def __init__(self, server: SupervisedServer) -> None:
        self.server = server
        self.plugins: PluginHost | None = None
        self.lock: NameLock | None = None
        self.last_port: int | None = None
        self.checked_certificates: set[str] = set()
        self._port_refused = False
        self._missing: tuple[str, ...] = ("",)

    def publish(self, **changes: Any) -> None:
        """Publish a status with these fields changed. Whoever waits is woken up by `enter`, not here."""
        self.server._publish_status(replace(self.server.status, **changes))  # noqa: SLF001 - its only writer

    def enter(
        self,
        state: State,
        *,
        reason: str = "",
        seconds: float | None = None,
        error: ServerError | None = None,
    ) -> None:
        """Move to `state`: checked against MOVES, published, reported. Nothing else changes the state."""
        server, status = self.server, self.server.status
        if state not in MOVES[status.state]:
            raise AssertionError(f"illegal move of {server.name}: {status.state.value} -> {state.value}")

        kept = None if state is State.RUNNING else status.error
        deactivations = status.deactivations + state.at_rest
        self.publish(state=state, deactivations=deactivations, error=error or kept)
        server.reporter.emit(
            StateChanged(
                **server.reporter.origin,
                state=state,
                previous=status.state,
                pid=server.pid,
                url=server.url,
                reason=reason,
                seconds=None if seconds is None else round(seconds, 3),
                error=None if error is None else str(error),
            )
        )
        server.wake()

    def begin_run(self) -> Run:
        """The next generation, in the state starting."""
        server, generation = self.server, self.server.generation + 1
        run = Run(server.spec, server.context, server.reporter, generation)
        self.publish(generation=generation, run=run, unkillable=None)
        server.reporter.begin_run(generation)
        server.desired.begin_run()
        self.enter(State.STARTING)
        return run

    def record_crash(self, record: CrashRecord, **decided: Any) -> None:
        """Keep the record of an unexpected exit with what was decided, masked, and report it."""
        before = self.server.crashes
        number = before[-1].number + 1 if before else 1
        record = dataclasses.replace(record, number=number, **decided)
        if not self.server.reporter.masker.is_empty:
            record = record.masked(self.server.reporter.masker.text)
        self.publish(crashes=(*before, record)[-KEPT:])
        self.server.reporter.counting.note_crash(record.cause)
        self.server.reporter.emit(CrashRecorded(**self.server.reporter.origin, record=record))

    def reports_anew(self, *missing: str) -> bool:
        """Whether something else is missing on this machine than at the last spawn."""
        before, self._missing = self._missing, missing
        return missing != before

    # -- its port and its lock ----------------------------------------------------------------

    def promise_port(self, port: int | None) -> None:
        """Keep this port for the run; no other server gets it meanwhile."""
        self.last_port = port
        if port != self.server.status.promised_port:
            self.publish(promised_port=port)

    def refuse_port(self) -> None:
        """Connections of a former run keep the port: the next start waits for it, or takes another one."""
        self._port_refused, self.last_port = True, None

    def take_port_refused(self) -> bool:
        """Whether the last run was refused its port; the next one is asked anew."""
        refused, self._port_refused = self._port_refused, False
        return refused

    def hold(self, lock: NameLock | None) -> None:
        """Hold this lock until the server is stopped or has failed."""
        self.lock = lock

    # -- its plugins --------------------------------------------------------------------------

    def build_plugins(self) -> PluginHost:
        """The plugins, built at the first call of a start. Raises PluginError."""
        if self.plugins is None:
            self.plugins = build_plugins(self.server.spec, self.server.reporter, self._note_failure)
            self.publish(hooks=self.plugins.accounting)
        return self.plugins

    def _note_failure(self, failure: PluginNote) -> None:
        if self.server.run is not None:
            self.server.run.plugin_failures.append(failure)
            del self.server.run.plugin_failures[:-_MOST_FAILURES]

    def drop_plugins(self) -> None:
        """Have the next start build new ones."""
        self.plugins = None
        self.server.plugin_tasks.end()

    # -- its end ------------------------------------------------------------------------------

    def deactivate(self, state: State, *, reason: str = "", error: ServerError | None = None) -> None:
        """Enter stopped or failed, then release what no start is waiting for."""
        server = self.server
        ends = state is State.FAILED or not server.desired.is_up

        if state is State.STOPPED:
            server.desired.note_stopped()

        self.publish(promised_port=None, run=None)

        try:
            self.enter(state, reason=reason, error=error)
        finally:
            if ends:
                self.release()  # not before: listeners write the state to disk under this lock

        if server.is_revivable:
            server.reporter.notice(
                "waits_while_failed", f"it waits: {server.plugin_tasks.revival}", "warning"
            )

    def release(self) -> None:
        """Release the lock, and drop the plugins and what they still run, unless one may revive it."""
        lock, self.lock = self.lock, None
        if not self.server.is_revivable:
            self.drop_plugins()
        if lock is not None:
            self.server.context.store.forget(lock)
            lock.release()

    # -- a reload -----------------------------------------------------------------------------

    def reconfigure(self, spec: ServerSpec, needs: Mapping[str, SupervisedServer]) -> None:
        """Be this server from now on; it is stopped or has failed."""
        self.server._reconfigure(spec, needs)  # noqa: SLF001 - nobody else may, while it runs
        self.drop_plugins()  # kept if a start was requested while it stopped

    def dismiss(self) -> None:
        """Accept no more commands: the server is removed."""
        self.server._dismiss()  # noqa: SLF001 - as above
