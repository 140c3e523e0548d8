"""Records the states and crashes of servers on disk, for whoever asks later or from another process."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import anyio

from hostler.concurrency.threads import run_in_thread
from hostler.engine.server import SupervisedServer
from hostler.errors import ProcessAlreadyRunning, ServerError
from hostler.events.crash import CrashRecord
from hostler.events.events import (
    CrashRecorded,
    Event,
    HealthReported,
    Notice,
    PluginFailed,
    Spawned,
    StateChanged,
)
from hostler.events.messages import in_words
from hostler.model.states import State
from hostler.records.crash_store import CrashStore
from hostler.records.status_store import Status, StatusStore, Variables
from hostler.supervisor.memory_sampler import note_memory

# Events within this time are written together, after a respawn rather than before it. The states of many
# servers are written one by one within as long again: a respawn does not wait for all of them.
_PAUSE = 0.2
_LAST_SECONDS = 3.0
_MOST_WAITING = 1000  # records that a disk that hangs holds up


class StateRecorder:
    """Records the events of one supervisor that outlive it. Used on the loop's thread.

    `holds` tells whether we hold the lock of a server: only then its status is ours to write. Without
    `statuses` none is written. Nothing here raises: what cannot be written becomes a notice, once
    until it works again.
    """

    def __init__(
        self,
        servers: Mapping[str, SupervisedServer],
        crashes: CrashStore,
        statuses: StatusStore | None,
        holds: Callable[[str], bool],
    ) -> None:
        self._servers = servers
        self._crashes = crashes
        self._statuses = statuses
        self._holds = holds
        self._known: dict[str, Status] = {}
        # The last report of each health plugin, by server.
        self._reports: dict[str, dict[str, str]] = {}
        self._unwritten: set[str] = set()
        self._turn: list[str] = []  # those of them whose turn it is, the next one last
        self._records: deque[CrashRecord] = deque(maxlen=_MOST_WAITING)
        self._just_ready: set[str] = set()
        self._refused: set[str] = set()
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def on_event(self, event: Event) -> None:
        """Note an event. It is written a little later; a state in which the server is at rest at once."""
        name = event.server

        match event:
            case StateChanged():
                self._note_state(event)
            case HealthReported():
                self._reports.setdefault(name, {})[event.plugin] = in_words(event)
                self._unwritten.add(name)
            case Spawned():
                origins, removed = event.origins, event.removed
                variables = Variables(event.generation, event.time, origins, removed)
                self._update(name, variables=variables, log_file=event.log_file)
            case PluginFailed(disabled=True) if name in self._known:
                text = f"{event.hook} of {event.plugin}: {event.reason}"
                self._update(name, hooks_out=(*self._known[name].hooks_out, text))
            case Notice(topic="server_removed"):
                self._known.pop(name, None)
                self._reports.pop(name, None)
                self._unwritten.discard(name)
                return
            case CrashRecorded(record=record) if record.error != ProcessAlreadyRunning.__name__:
                # Another hostler runs a server that "runs already": that record is not ours.
                self._records.append(record)
            case _:
                return

        self._write_soon()

    async def close(self) -> None:
        """Write what is left to be written, within 3 s."""
        self._write_all()
        with anyio.move_on_after(_LAST_SECONDS):
            while self._task is not None and not self._task.done():
                await asyncio.wait({self._task})
                self._write_all()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_LAST_SECONDS)

    def end(self) -> None:
        """Write no more."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        if self._statuses is not None:
            self._statuses.close()

    def _note_state(self, event: StateChanged) -> None:
        name = event.server
        if self._statuses is not None:
            self._known[name] = Status.after(event, self._known.get(name))
            self._unwritten.add(name)

        if event.state is State.STARTING:
            self._reports.pop(name, None)
        elif event.state is State.RUNNING:
            self._just_ready.add(name)
        elif event.state.at_rest:
            # At once: the lock is released next, and then the status is not ours to write.
            self._write_status(name)
            known = self._known.get(name)
            if known and known.hooks_out and self._plugins_go(event):
                self._update(name, hooks_out=())

    def _plugins_go(self, event: StateChanged) -> bool:
        """Whether the plugins of a server at rest are dropped; the next start builds new ones."""
        return event.state is State.FAILED or not self._servers[event.server].desired.is_up

    def _update(self, name: str, **changes: Any) -> None:
        if name in self._known:
            self._known[name] = replace(self._known[name], **changes)
            self._unwritten.add(name)

    def _write_soon(self, pause: float = _PAUSE) -> None:
        if self._timer is None and not self._ended:
            try:
                self._timer = asyncio.get_running_loop().call_later(pause, self._write_next, pause)
            except RuntimeError:  # the loop is closed under us: this is the end
                return

    def _write_next(self, pause: float) -> None:
        self._timer = None
        if not self._turn:
            self._begin_records()
            self._turn = list(self._unwritten)
            pause = _PAUSE / max(1, len(self._turn))
        if self._turn and (name := self._turn.pop()) in self._unwritten:
            self._write_status(name)
        if self._turn:
            self._write_soon(pause)
        elif self._unwritten or self._records_wait:
            self._write_soon()

    def _write_all(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in list(self._unwritten):
            self._write_status(name)
        self._begin_records()

    @property
    def _records_wait(self) -> bool:
        return bool(self._records or self._just_ready) and (self._task is None or self._task.done())

    def _begin_records(self) -> None:
        if self._records_wait:
            self._task = asyncio.create_task(self._write_records(), name="hostler records")

    def _write_status(self, name: str) -> None:
        self._unwritten.discard(name)
        if name not in self._known or self._statuses is None or not self._holds(name):
            return

        server, reports = self._servers[name], self._reports.get(name, {})
        monitor = None if server.run is None else server.run.health
        plugins = () if monitor is None else monitor.plugins
        silent = [f"no report yet from {plugin}" for plugin in plugins if plugin not in reports]
        health = (*reports.values(), *silent)
        try:
            known = replace(self._known[name], url=server.url, health=health, reports=server.reports)
            self._statuses.write(known)
        except (OSError, ServerError) as error:
            self._report_unwritten(name, "its state", error)
        else:
            self._refused.discard("its state")

    async def _write_records(self) -> None:
        ready, self._just_ready = self._just_ready, set()
        runs = [self._servers[name].run for name in ready if name in self._servers]
        await note_memory(runs)

        while self._records:
            records = list(self._records)
            self._records.clear()
            # All on one thread: to start one costs the loop more than what it does.
            errors = await run_in_thread(self._write_crashes, records, abandon_on_cancel=True)
            for record, error in zip(records, errors, strict=True):
                if error is None:
                    self._refused.discard("its crash record")
                else:
                    self._report_unwritten(record.server, "its crash record", error)

    def _write_crashes(self, records: Iterable[CrashRecord]) -> list[OSError | ServerError | None]:
        errors: list[OSError | ServerError | None] = []
        for record in records:
            try:
                self._crashes.write(record)
            except (OSError, ServerError) as error:
                errors.append(error)
            else:
                errors.append(None)
        return errors

    def _report_unwritten(self, name: str, what: str, error: OSError | ServerError) -> None:
        if what not in self._refused and name in self._servers:
            self._refused.add(what)
            why = error.message if isinstance(error, ServerError) else error.strerror or str(error)
            self._servers[name].reporter.notice("not_written", f"{what} cannot be written: {why}", "warning")
