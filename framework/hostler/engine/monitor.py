"""The states waiting_ready and running: event after event is taken until one ends the run."""

from __future__ import annotations

import math
from collections.abc import Sequence

from msgspec import Struct

from hostler.concurrency.event_loop import loop_time
from hostler.engine.lifecycle_state import LifecycleState
from hostler.engine.run import LiveRun
from hostler.errors import ServerCrashed, ServerError
from hostler.events.events import EndpointFound, HealthReported
from hostler.model.choices import Kind, RestartMode
from hostler.model.states import COMPLETED, DONE, State
from hostler.model.values import ExitCause, Unhealthy
from hostler.plugins.host import PluginHost
from hostler.runtime.base_run import RunEvent, RunSignal
from hostler.runtime.diagnosis import why_not_ready
from hostler.runtime.endpoint_discovery import EndpointConfirmed
from hostler.runtime.health import HealthChanged, HealthMonitor, PluginHealth
from hostler.runtime.health_reports import json_details

_LATE = 0.5


class RunOutcome(Struct, frozen=True):
    """Why a run is to end. Without `error`, its exit explains it; `succeeded`: it has done its work."""

    cause: ExitCause
    reason: str = ""
    error: ServerError | None = None
    unhealthy: Unhealthy | None = None
    succeeded: bool = False

    @property
    def unexpected(self) -> bool:
        """Whether it is a crash: neither a stop that was requested nor success."""
        return self.cause is not ExitCause.STOPPED and not self.succeeded


class Monitor:
    """Watches one run from its spawn until something ends it."""

    def __init__(self, life: LifecycleState, run: LiveRun, plugins: PluginHost) -> None:
        self._life, self._server, self._reporter = life, life.server, life.server.reporter
        self._run = run
        self._plugins = plugins
        self._hints: tuple[str, ...] = ()

    async def watch(self) -> RunOutcome:
        """Take event after event until one ends the run."""
        self.begin()
        begun = not_before = loop_time() - self._run.uptime

        while True:
            deadline = max(begun + self._limit(), not_before)
            event = await self._run.mailbox.take(deadline)
            if event is None and loop_time() - deadline > _LATE:
                not_before = loop_time() + _LATE  # the host held up the loop: no event could arrive
                continue
            outcome = self._too_late() if event is None else self._consider(event)
            if outcome is not None:
                return outcome

    def begin(self) -> None:
        """Report the spawn, and start to watch for the exit and the endpoint."""
        run, plugins = self._run, self._plugins
        self._reporter.emit(run.spawned())
        self._report_missing()
        run.watch(announced=plugins.has("parse_port") and bool(run.captured))
        if run.launch.port is None:
            self._watch_health()

    def _report_missing(self) -> None:
        """Once, and again when it has changed."""
        process = self._run.process
        if not self._life.reports_anew(*process.missing_tools, process.doubt):
            return
        if process.missing_tools:
            names = ", ".join(process.missing_tools)
            self._reporter.notice("tool_missing", f"not found, continuing without: {names}", "warning")
        if process.doubt:
            self._reporter.notice("processes_hidden", process.doubt, "warning")

    def _limit(self) -> float:
        """How many seconds the run may take until something has to be over: the start, or a task's work."""
        spec = self._server.spec
        work = spec.task_timeout or math.inf
        return min(work, spec.startup_timeout) if self._run.ready_at is None else work

    def _too_late(self) -> RunOutcome:
        spec = self._server.spec
        if self._run.ready_at is None and self._limit() == spec.startup_timeout:
            reason = f"not ready after {spec.startup_timeout:g} s"
            return RunOutcome(ExitCause.STARTUP_TIMEOUT, reason, why_not_ready(self._run))
        reason = f"it did not complete within {spec.task_timeout:g} s"
        error = ServerCrashed(reason, hint="raise task_timeout if it needs longer")
        return RunOutcome(ExitCause.TASK_TIMEOUT, reason, error)

    def _consider(self, event: RunEvent) -> RunOutcome | None:
        match event:
            case RunSignal.PROCESS_EXITED:
                return self._exited()
            case ServerError():
                return RunOutcome(ExitCause.UNHEALTHY, event.message, event)
            case EndpointConfirmed():
                self._take_endpoint(event)
            case HealthChanged(health, plugin):
                return self._take_health(health, plugin)
            case RunSignal.COMMAND_RECEIVED if self._server.end_asked:
                desired = self._server.desired
                return RunOutcome(ExitCause.STOPPED, desired.stop_reason or desired.ending_command)

        return None

    def _exited(self) -> RunOutcome:
        spec, status = self._server.spec, self._run.exit_status
        is_task = spec.kind is Kind.TASK
        may_end = not self._server.end_asked and spec.restart.policy is not RestartMode.ALWAYS
        success = status is not None and (
            (is_task and status.code == 0) or status.name in spec.success_exit_codes
        )
        if may_end and success:
            return RunOutcome(ExitCause.EXITED, COMPLETED if is_task else DONE, succeeded=True)
        return RunOutcome(ExitCause.EXITED)

    # -- endpoint and health ------------------------------------------------------------------

    def _take_endpoint(self, found: EndpointConfirmed) -> None:
        self._run.confirm(found)
        self._reporter.emit(
            EndpointFound(**self._reporter.origin, endpoint=found.endpoint, source=found.source)
        )
        if found.doubt:
            self._reporter.notice("identity_unknown", found.doubt, "warning")
        self._watch_health()

    def _watch_health(self) -> None:
        plugins, spec = self._plugins, self._server.spec
        health = HealthMonitor(
            plugins.health_openers(self._server, self._run.endpoint),
            on_change=self._run.mailbox.post,
            on_flood=lambda name: plugins.health_failed(name, "floods the server with reports; slowed down"),
            on_report=self._reporter.counting.note_report,
            rule=spec.health,
            limit=spec.max_connection_failures,
        )
        self._run.watch_health(health)

        if not health.plugins:
            self._ready()

    def _take_health(self, health: HealthMonitor, plugin: PluginHealth) -> RunOutcome | None:
        report = plugin.last
        ends = isinstance(report, Unhealthy) and (report.permanent or report.fatal)
        if isinstance(report, Unhealthy) and not ends and self._is_ending():
            return None  # its exit comes next, and says more than that it does not answer
        health.take(plugin)
        self._report_health(plugin)
        self._server.wake()
        if isinstance(report, Unhealthy) and ends:
            return _unhealthy(f"{plugin.name}: {report.reason}", [report])
        if self._run.ready_at is None:
            if isinstance(report, Unhealthy) and report.hint and report.hint not in self._hints:
                self._report_hint(plugin.name, report)
            if health.healthy:
                self._ready()
            return None

        lost = health.lost
        reports = [one.last for one in lost if isinstance(one.last, Unhealthy)]
        reason = "; ".join(f"{one.name}: {one.complaint}" for one in lost)
        return _unhealthy(reason, reports) if lost else None

    def _is_ending(self) -> bool:
        """Whether the process has ended, or has been killed: its connections may break some time before."""
        process = self._run.process
        return not process.alive() or self._server.context.processes.is_dying(process.pid)

    def _report_health(self, plugin: PluginHealth) -> None:
        if plugin.fault:
            self._plugins.health_failed(plugin.name, plugin.fault)

        if plugin.worth_reporting:
            self._reporter.emit(
                HealthReported(
                    **self._reporter.origin,
                    plugin=plugin.name,
                    healthy=plugin.healthy,
                    reason=plugin.reason,
                    failures=plugin.failures,
                    details=json_details(plugin),
                    latency=plugin.latency,
                    report=plugin.last,
                )
            )

    def _report_hint(self, plugin: str, report: Unhealthy) -> None:
        """Report at once, and once, what time does not cure."""
        self._hints += (report.hint,)
        text = f"not ready: {plugin}: {report.reason}; what to do: {report.hint}"
        details = {"plugin": plugin, "hint": report.hint}
        self._reporter.notice("not_ready_hint", text, "warning", details)

    def _ready(self) -> None:
        self._run.note_ready()
        self._life.enter(State.RUNNING, seconds=self._run.uptime)
        if self._plugins.has("on_ready"):
            self._run.tasks.start(self._plugins.on_ready(self._server, self._run.endpoint), "on_ready")


def _unhealthy(reason: str, reports: Sequence[Unhealthy]) -> RunOutcome:
    """The end of the run for these last reports; their own error tells more, where there is one of them."""
    report = reports[0]
    error = (report.error if len(reports) == 1 else None) or ServerCrashed(
        f"it is up, but not healthy: {reason}",
        hint=report.hint or "look at its log, and at what the plugin asks for",
    )
    if report.permanent:
        error = error.with_context(permanent=True)
    return RunOutcome(ExitCause.UNHEALTHY, reason, error, report)
