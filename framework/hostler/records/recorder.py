"""Writing down what happens, for whoever asks later or from another process: states and crashes."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping

import anyio

from hostler.concurrency.threads import run_in_thread
from hostler.engine.server import Server
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
from hostler.records.memory import note_memory
from hostler.records.status_store import Status, StatusStore, Variables

_PAUSE = 0.2  # what happens within it is written at once, after a respawn rather than before it
_LAST_SECONDS = 3.0
_MOST_WAITING = 1000  # records that a disk that hangs holds up


class StateRecorder:
    """Hears the events of one supervisor and writes down what outlives it. Used on the loop's thread.

    `holds` tells whether we hold the lock of a server: only then its status is ours to write. Without
    `statuses` none is written. Nothing here raises: what cannot be written becomes a notice, once
    until it works again.
    """

    def __init__(
        self,
        servers: Mapping[str, Server],
        crashes: CrashStore,
        statuses: StatusStore | None,
        holds: Callable[[str], bool],
    ) -> None:
        self._servers = servers
        self._crashes = crashes
        self._statuses = statuses
        self._holds = holds
        self._changes: dict[str, StateChanged] = {}
        self._health: dict[str, dict[str, str]] = {}
        self._variables: dict[str, Variables] = {}
        self._hooks_out: dict[str, list[str]] = {}
        self._unwritten: set[str] = set()
        self._records: deque[CrashRecord] = deque(maxlen=_MOST_WAITING)
        self._just_ready: set[str] = set()
        self._refused: set[str] = set()
        self._ended = False
        self._timer: asyncio.TimerHandle | None = None
        self._task: asyncio.Task[None] | None = None

    def hear(self, event: Event) -> None:
        """Take note of an event; it is written a little later, but for a state of rest."""
        match event:
            case StateChanged():
                self._note_state(event)
            case HealthReported():
                self._health.setdefault(event.server, {})[event.plugin] = in_words(event)
                self._unwritten.add(event.server)
            case Spawned():
                self._variables[event.server] = Variables.of(event)
                self._unwritten.add(event.server)
            case PluginFailed(disabled=True):
                text = f"{event.hook} of {event.plugin}: {event.reason}"
                self._hooks_out.setdefault(event.server, []).append(text)
                self._unwritten.add(event.server)
            case Notice(topic="server_removed"):
                self._forget(event.server)
                return
            case CrashRecorded(record=record) if record.error != ProcessAlreadyRunning.__name__:
                self._records.append(record)  # else it is not ours: another hostler runs it, and goes on
            case _:
                return

        self._soon()

    async def close(self) -> None:
        """Write what is left to be written, within 3 s."""
        self._write()
        with anyio.move_on_after(_LAST_SECONDS):
            while self._task is not None and not self._task.done():
                await asyncio.wait({self._task})
                self._write()
        if self._task is not None and not self._task.done():
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=_LAST_SECONDS)

    def end(self) -> None:
        """Write no more."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()

    def _note_state(self, event: StateChanged) -> None:
        name = event.server

        if event.state is State.STARTING:
            self._health.pop(name, None)
        elif event.state is State.RUNNING:
            self._just_ready.add(name)

        self._changes[name] = event
        self._unwritten.add(name)

        if event.state.at_rest:
            self._write_status(name)  # now: the lock is let go next, and then it is not ours to write
            if event.state is State.FAILED or not self._servers[name].desired.is_up:
                self._hooks_out.pop(name, None)  # the plugins go too, and come back new

    def _forget(self, name: str) -> None:
        self._changes.pop(name, None)
        self._health.pop(name, None)
        self._variables.pop(name, None)
        self._hooks_out.pop(name, None)
        self._unwritten.discard(name)

    def _soon(self) -> None:
        if self._timer is None and not self._ended:
            try:
                self._timer = asyncio.get_running_loop().call_later(_PAUSE, self._write)
            except RuntimeError:  # the loop is closed under us: this is the end
                return

    def _write(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for name in list(self._unwritten):
            self._write_status(name)
        if (self._records or self._just_ready) and (self._task is None or self._task.done()):
            self._task = asyncio.create_task(self._work(), name="hostler bookkeeping")

    def _write_status(self, name: str) -> None:
        self._unwritten.discard(name)
        change = self._changes.get(name)
        if change is None or self._statuses is None or not self._holds(name):
            return

        url, variables = self._servers[name].url, self._variables.get(name)
        try:
            self._statuses.write(
                Status.after(
                    change,
                    url=url,
                    health=self._health_of(name),
                    variables=variables,
                    hooks_out=self._hooks_out.get(name, ()),
                )
            )
        except (OSError, ServerError) as error:
            self._refuse(name, "its state", error)
        else:
            self._refused.discard("its state")

    def _health_of(self, name: str) -> list[str]:
        """The last word of each health plugin, and who has said nothing yet."""
        run, said = self._servers[name].run, self._health.get(name, {})
        plugins = [] if run is None or run.health is None else run.health.plugins
        silent = [f"no report yet from {plugin}" for plugin in plugins if plugin not in said]
        return [*said.values(), *silent]

    async def _work(self) -> None:
        ready, self._just_ready = self._just_ready, set()
        runs = [self._servers[name].run for name in ready if name in self._servers]
        await asyncio.gather(*(note_memory(run) for run in runs if run is not None))

        while self._records:
            record = self._records.popleft()
            try:
                await run_in_thread(self._crashes.write, record, abandon_on_cancel=True)
            except (OSError, ServerError) as error:
                self._refuse(record.server, "its crash record", error)
            else:
                self._refused.discard("its crash record")

    def _refuse(self, name: str, what: str, error: OSError | ServerError) -> None:
        if what not in self._refused and name in self._servers:
            self._refused.add(what)
            why = error.message if isinstance(error, ServerError) else error.strerror or str(error)
            self._servers[name].reporter.notice("not_written", f"{what} cannot be written: {why}", "warning")
