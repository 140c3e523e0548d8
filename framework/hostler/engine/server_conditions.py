"""What is known of a server together with what is desired of it: conditions that others wait for."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime

from msgspec.structs import replace

from hostler.engine.desired_state import DesiredState
from hostler.events.counts import ServerCounts
from hostler.events.crash import MemoryPoint
from hostler.events.events import Event, StateChanged
from hostler.model.dependencies import Condition
from hostler.model.launch import LogFiles
from hostler.model.spec import ServerSpec
from hostler.model.states import State
from hostler.model.values import StreamName
from hostler.plugins.hook_stats import HookStats
from hostler.process.context import SupervisorContext
from hostler.runtime.quiet_moment import what_runs_on
from hostler.runtime.server_facts import ServerFacts


class ServerConditions(ServerFacts):
    """The facts of a server, and what is desired of it."""

    def __init__(
        self, spec: ServerSpec, context: SupervisorContext, listener: Callable[[Event], None]
    ) -> None:
        super().__init__(spec, context, listener)
        self.desired = DesiredState()

    @property
    def completed(self) -> bool:
        """Whether the task has ended with exit code 0, and was not started again."""
        return self.desired.completed

    @property
    def wanted(self) -> bool:
        """Whether it is wanted up: started, and neither stopped nor completed since."""
        return self.desired.is_up

    @property
    def stuck(self) -> str | None:
        """Why what is left of it cannot be stopped; None where there is nothing."""
        return None if self.status.unkillable is None else self.status.unkillable.message

    @property
    def restart_budget(self) -> tuple[int, int]:
        """The restarts that are used, and how many there are."""
        budget = self.status.budget
        ready = budget.was_ready or self.state is State.RUNNING
        return replace(budget, was_ready=ready).spent(self.spec.restart)

    @property
    def next_try(self) -> datetime | None:
        """When it is started again; None unless it waits for that after a crash."""
        return self.crashes[-1].next_try if self.state is State.BACKOFF and self.crashes else None

    @property
    def last_change(self) -> StateChanged | None:
        """The last change of its state: since when it is so, and why; None before the first."""
        return self.reporter.last_change

    @property
    def ready_seconds(self) -> float | None:
        """The seconds from the spawn of its present run until it was ready; None as long as it was not."""
        run = self.run
        if run is None or run.process is None or run.ready_at is None:
            return None
        return run.ready_at - run.process.started

    @property
    def memory_points(self) -> tuple[MemoryPoint, ...]:
        """The last 30 samples of what the process tree of its present run uses, oldest first."""
        return () if self.run is None else tuple(self.run.memory)

    @property
    def log(self) -> LogFiles | None:
        """Where the output of its present or last run is written; None unless a plugin told that."""
        return self.reporter.log

    def tail(self, stream: StreamName) -> str:
        """The last 64 KiB of a stream of its present run, masked."""
        capture = None if self.run is None else self.run.capture
        return "" if capture is None else capture.tail(stream)

    @property
    def hook_stats(self) -> Mapping[tuple[str, str], HookStats]:
        """Calls, failures and seconds by plugin and hook, since its plugins were built; a snapshot."""
        return {} if self.status.hooks is None else self.status.hooks.stats

    @property
    def hook_totals(self) -> Mapping[tuple[str, str], HookStats]:
        """As `hook_stats`, and with what plugins did that were built for its earlier starts; a snapshot."""
        return self.reporter.counting.hooks

    @property
    def counts(self) -> ServerCounts:
        """What was counted of it over all its runs, since it is supervised; a snapshot."""
        return self.reporter.counts

    async def what_runs(self) -> Sequence[str] | None:
        """The names of what runs on it now, as its plugins tell; none when it is not up.

        None where nobody can tell, which a restart with `when="idle"` takes for busy.
        """
        return await what_runs_on([self])

    @property
    def end_asked(self) -> bool:
        """Whether the present run is to end, for a stop or a restart."""
        return self.desired.ends(self.generation)

    @property
    def stop_asked(self) -> bool:
        """Whether it is down because somebody has stopped it, so that only a start brings it back."""
        desired = self.desired
        is_up = desired.is_up or desired.suspended_for
        return not is_up and desired.stop_requested_for == self.generation

    def meets(self, condition: Condition) -> bool:
        """Whether it is as far as one that needs it asks. A task that has completed always is."""
        far = {Condition.STARTED: self.has_started, Condition.READY: self.usable, Condition.COMPLETED: False}
        return self.completed or far[condition]

    @property
    def usable(self) -> bool:
        """Whether it is running, its process lives, and neither stop nor restart is asked for."""
        return self.state is State.RUNNING and self.has_started

    @property
    def has_started(self) -> bool:
        """Whether its process was spawned and lives, and neither stop nor restart is asked for."""
        process = None if self.run is None else self.run.process
        up = self.state in {State.WAITING_READY, State.RUNNING} and not self.end_asked
        return up and (process is None or process.alive())

    @property
    def is_revivable(self) -> bool:
        """Whether it has failed, and a plugin may start it anew."""
        wanted = self.desired.is_up and self.desired.accepts_commands
        return self.state is State.FAILED and wanted and bool(self.plugin_tasks.revival)

    def is_settled(self) -> bool:
        """Whether it is stopped or failed, and nobody has asked for it."""
        return self.state.at_rest and not (self.desired.start_requested and self.desired.is_up)

    def stop_condition(self) -> Callable[[], bool]:
        """A condition: it has been stopped or failed since now, or what is left of it cannot be stopped."""
        before = self.status.deactivations - self.state.at_rest
        return lambda: self.status.deactivations > before or self.status.unkillable is not None
