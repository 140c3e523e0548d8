"""What the life of one server owns: its state, its run, its plugins, its lock, its port."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hostler.engine.restart import Budget
from hostler.engine.run import Run
from hostler.engine.server import Server
from hostler.errors import ServerError
from hostler.events.crash import PluginNote
from hostler.events.events import PluginFailed, StateChanged
from hostler.model.states import MOVES, State
from hostler.plugins.hook_stats import Failure
from hostler.plugins.host import PluginHost
from hostler.process.disk.lock import NameLock


class LifecycleState:
    """The only writer of a server's status, which it publishes after each change.

    Plugins and lock are kept over the restarts of one start, and let go at rest; the port is remembered
    longer. `port_refused` tells that the server itself could not bind it, for connections that are not over
    yet; `seen_certificates` are the paths of certificates that were looked at.
    """

    def __init__(self, server: Server) -> None:
        self.server = server
        self.plugins: PluginHost | None = None
        self.lock: NameLock | None = None
        self.last_port: int | None = None
        self.port_refused = False
        self.seen_certificates: set[str] = set()

    def _publish(self, **changes: Any) -> None:
        self.server.publish_status(replace(self.server.status, **changes))

    # -- the state ----------------------------------------------------------------------------

    def enter(
        self,
        state: State,
        *,
        reason: str = "",
        seconds: float | None = None,
        error: ServerError | None = None,
    ) -> None:
        """Move to `state`: checked against MOVES, published, told. Nothing else changes the state."""
        server, status = self.server, self.server.status
        if state not in MOVES[status.state]:
            raise AssertionError(f"illegal move of {server.name}: {status.state.value} -> {state.value}")

        kept = None if state is State.RUNNING else status.error
        self._publish(state=state, rests=status.rests + state.at_rest, error=error or kept)
        server.reporter.emit(
            StateChanged(
                server=server.name,
                generation=status.generation,
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

    def set_stuck(self, stuck: ServerError | None) -> None:
        """Note why it cannot be stopped, or that it can be."""
        self._publish(stuck=stuck)

    # -- its runs -----------------------------------------------------------------------------

    def begin_run(self) -> Run:
        """The next generation, in the state starting."""
        server, generation = self.server, self.server.generation + 1
        run = Run(server.spec, server.context, server.reporter, generation)
        self._publish(generation=generation, run=run, stuck=None)
        server.reporter.begin_run(generation)
        server.desired.begin()
        self.enter(State.STARTING)
        return run

    def show_run(self, run: Run) -> None:
        """The run has come further."""
        self._publish(run=run)

    def note_spawned(self) -> None:
        """The run has a process."""
        self._publish(spawned_generation=self.server.generation)

    def end_run(self) -> None:
        """Nothing is left of the run."""
        self._publish(run=None)

    def set_budget(self, budget: Budget) -> None:
        """Note what has been spent, or given back."""
        self._publish(budget=budget)

    def note_restart(self) -> None:
        """Count an automatic restart."""
        self._publish(restarts=self.server.restarts + 1)

    # -- its port and its lock ----------------------------------------------------------------

    def promise_port(self, port: int | None) -> None:
        """This is the port of the run; no other server gets it meanwhile."""
        self.last_port = port
        self._publish(promised_port=port)

    def refuse_port(self) -> None:
        """Connections of a former run keep the port: the next start waits for it, or takes another one."""
        self.port_refused, self.last_port = True, None

    def take_port_refused(self) -> bool:
        """Whether the last run was refused its port; the next one is asked anew."""
        refused, self.port_refused = self.port_refused, False
        return refused

    def hold(self, lock: NameLock | None) -> None:
        """Hold this lock until rest."""
        self.lock = lock

    # -- rest ---------------------------------------------------------------------------------

    def rest(self, state: State, *, reason: str = "", error: ServerError | None = None) -> None:
        """Enter a state of rest, then let go of what nobody wants any more."""
        ends = state is State.FAILED or not self.server.desired.is_up

        if state is State.STOPPED:
            self.server.desired.rested()

        self._publish(promised_port=None, run=None)

        try:
            self.enter(state, reason=reason, error=error)
        finally:
            if ends:
                self.let_go()  # not before: whoever hears of the state may still write it down

        if self.server.may_come_back:
            text = f"it waits: {self.server.lasting.hope}"
            self.server.reporter.notice("waits_while_failed", text, "warning")

    def let_go(self) -> None:
        """Release the lock, and drop the plugins with what they still run, unless one may bring it back."""
        lock, self.lock = self.lock, None
        if not self.server.may_come_back:
            self.drop_plugins()
        if lock is not None:
            lock.release()

    def drop_plugins(self) -> None:
        """Have the next start build new ones."""
        self.plugins = None
        self.server.lasting.end()

    def build_plugins(self) -> PluginHost:
        """The plugins, built at the first call of a start. Raises PluginError."""
        if self.plugins is None:
            self.plugins = PluginHost(self.server.spec.plugins, on_failure=self._tell_failure)
            for one in self.plugins.deprecations:
                details = {"plugin": one.plugin, "hook": one.hook, "argument": one.argument}
                self.server.reporter.notice("deprecated", str(one), "warning", details)
        return self.plugins

    def _tell_failure(self, failure: Failure) -> None:
        run = self.server.run
        if run is not None:
            what = failure.reason if failure.slow else f"failed: {failure.reason}"
            word = PluginNote(failure.plugin, failure.hook, what)
            run.failures.append(word)

        if failure.slow:  # a busy machine does that to any plugin
            self._tell_slow(failure)
            return

        self.server.reporter.emit(
            PluginFailed(
                server=self.server.name,
                generation=self.server.generation,
                plugin=failure.plugin,
                hook=failure.hook,
                reason=failure.reason,
                seconds=failure.seconds,
                disabled=failure.disabled,
            )
        )

    def _tell_slow(self, failure: Failure) -> None:
        text = f"plugin {failure.plugin} {failure.reason} in {failure.hook}"
        details = {"plugin": failure.plugin, "hook": failure.hook, "seconds": failure.seconds}
        self.server.reporter.notice("plugin_slow", text, details=details)
