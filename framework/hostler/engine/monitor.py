"""Waiting for ready, and running: word after word is taken until one ends the run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from hostler.concurrency.event_loop import loop_time
from hostler.engine.diagnosis import why_not_ready
from hostler.engine.health import HealthWatch, PluginHealth
from hostler.engine.lifecycle_state import LifecycleState
from hostler.engine.live_run import LiveRun
from hostler.engine.run_events import (
    CommandReceived,
    EndpointConfirmed,
    HealthChanged,
    ProcessExited,
    RunEvent,
    RunFailed,
)
from hostler.engine.server import Server
from hostler.errors import ServerCrashed, ServerError
from hostler.events.events import EndpointFound, HealthReported, Spawned
from hostler.model.launch import Launch
from hostler.model.states import State
from hostler.model.values import ExitCause, Healthy, Report, Unhealthy
from hostler.plugins.host import PluginHost
from hostler.process.spawn.environment import MARKER
from hostler.process.spawn.exits import Process
from hostler.secrets.credentials import MASK, is_address

_LATE = 0.5


@dataclass(frozen=True, slots=True)
class RunOutcome:
    """Why a run is to end. `error` is None when only its exit can tell."""

    cause: ExitCause
    reason: str = ""
    error: ServerError | None = None
    unhealthy: Unhealthy | None = None


@dataclass(frozen=True, slots=True)
class Monitor:
    """The paragraph of the life that is the states waiting_ready and running."""

    life: LifecycleState
    plugins: PluginHost
    run: LiveRun

    @property
    def server(self) -> Server:
        """The server that is monitored."""
        return self.life.server

    def begin(self) -> None:
        """Tell of the spawn, and start to watch for the exit and the endpoint."""
        self.server.reporter.emit(self._spawned(self.run.launch, self.run.process.pid))
        self._tell_what_is_lacking(self.run.process)
        self.run.watch(announced=self.plugins.has("parse_port") and bool(self.run.captured))
        if self.run.launch.port is None:
            self._watch_health()

    def _tell_what_is_lacking(self, process: Process) -> None:
        """Once, and again when it has changed."""
        if not self.server.is_news(*process.missing_tools, process.doubt):
            return
        if process.missing_tools:
            names = ", ".join(process.missing_tools)
            self.server.reporter.notice("tool_missing", f"not found, so gone on without: {names}", "warning")
        if process.doubt:
            self.server.reporter.notice("processes_hidden", process.doubt, "warning")

    def _spawned(self, launch: Launch, pid: int) -> Spawned:
        env = {
            name: MASK if name in launch.secrets and not is_address(value) else value
            for name, value in launch.env.items()
        }
        origins = launch.origins | {MARKER: "hostler itself"}
        return Spawned(
            server=self.server.name,
            generation=self.run.generation,
            pid=pid,
            argv=self.run.argv(),
            cwd=str(launch.cwd),
            env=dict(sorted(env.items())),
            origins=dict(sorted(origins.items())),
            removed=dict(sorted(launch.removed.items())),
        )

    async def until_ending(self) -> RunOutcome:
        """Take word after word until one ends the run."""
        begun = loop_time() - self.run.uptime
        not_before = begun

        while True:
            deadline = max(begun + self._limit(), not_before)
            happening = await self.run.inbox.take(deadline)
            if happening is None and loop_time() - deadline > _LATE:
                not_before = loop_time() + _LATE  # the host held up the loop: nothing could be heard
                continue
            ending = self._too_late() if happening is None else self._consider(happening)
            if ending is not None:
                return ending

    def _limit(self) -> float:
        """How many seconds the run may take until something has to be over: the start, or a task's work."""
        spec = self.server.spec
        work = spec.task_timeout or math.inf
        return min(work, spec.startup_timeout) if self.run.ready_at is None else work

    def _too_late(self) -> RunOutcome:
        spec = self.server.spec
        if self.run.ready_at is None and self._limit() == spec.startup_timeout:
            reason = f"not ready after {spec.startup_timeout:g} s"
            return RunOutcome(ExitCause.STARTUP_TIMEOUT, reason, why_not_ready(self.run))
        reason = f"it did not complete within {spec.task_timeout:g} s"
        error = ServerCrashed(reason, hint="raise task_timeout if it needs longer")
        return RunOutcome(ExitCause.TASK_TIMEOUT, reason, error)

    def _consider(self, happening: RunEvent) -> RunOutcome | None:
        match happening:
            case ProcessExited():
                return RunOutcome(ExitCause.EXITED)
            case RunFailed(error):
                return RunOutcome(ExitCause.UNHEALTHY, error.message, error)
            case EndpointConfirmed():
                self._found(happening)
            case HealthChanged(health):
                return self._health_news(health)
            case CommandReceived() if self.server.end_asked:
                desired = self.server.desired
                return RunOutcome(ExitCause.STOPPED, desired.reason or desired.what_ends_it)

        return None

    def _found(self, found: EndpointConfirmed) -> None:
        server, confirmed = self.server, found.confirmed
        self.run.confirm(confirmed)
        server.reporter.emit(
            EndpointFound(
                server=server.name,
                generation=self.run.generation,
                endpoint=confirmed.endpoint,
                source=confirmed.source,
            )
        )

        if confirmed.doubt:
            server.reporter.notice("identity_unknown", confirmed.doubt, "warning")

        self._watch_health()

    def _watch_health(self) -> None:
        plugins, server = self.plugins, self.server

        health = HealthWatch(
            plugins.health_openers(server, self.run.endpoint),
            on_news=lambda news: self.run.inbox.post(HealthChanged(news)),
            on_flood=lambda name: plugins.health_failed(name, "floods the server with reports; slowed down"),
            rule=server.spec.health,
            limit=server.spec.max_connection_failures,
        )
        self.run.watch_health(health)

        if not health.plugins:
            self._ready()

    def _health_news(self, news: PluginHealth) -> RunOutcome | None:
        assert self.run.health is not None
        self.run.health.take(news)
        self._tell_health(news)
        self.server.wake()
        report = news.last
        if isinstance(report, Unhealthy) and (report.permanent or report.fatal):
            return self._unhealthy(f"{news.name}: {report.reason}", report)
        if self.run.ready_at is None:
            if isinstance(report, Unhealthy) and report.hint and self.run.health.is_news(report.hint):
                self._tell_hint(news.name, report)
            if self.run.health.healthy:
                self._ready()
            return None

        lost = self.run.health.lost
        reason = "; ".join(f"{one.name}: {one.complaint}" for one in lost)
        return self._unhealthy(reason, *(one.last for one in lost)) if lost else None

    def _unhealthy(self, reason: str, *reports: Report | None) -> RunOutcome:
        """The end of the run for these last words; their own error tells more, where there is one of them."""
        report = next(report for report in reports if isinstance(report, Unhealthy))
        error = report.error if len(reports) == 1 else None
        error = error or ServerCrashed(
            f"it is up, but not healthy: {reason}",
            hint=report.hint or "look at its log, and at what the plugin asks for",
        )

        if report.permanent:
            error = error.with_context(permanent=True)

        return RunOutcome(ExitCause.UNHEALTHY, reason, error, report)

    def _tell_health(self, news: PluginHealth) -> None:
        if news.fault:
            self.plugins.health_failed(news.name, news.fault)

        if news.told:
            report = news.last
            self.server.reporter.emit(
                HealthReported(
                    server=self.server.name,
                    generation=self.run.generation,
                    plugin=news.name,
                    healthy=None if report is None else isinstance(report, Healthy),
                    reason=news.reason,
                    failures=news.failures,
                    report=report,
                )
            )

    def _tell_hint(self, plugin: str, report: Unhealthy) -> None:
        """What time does not cure is told at once."""
        text = f"not ready: {plugin}: {report.reason}; what to do: {report.hint}"
        details = {"plugin": plugin, "hint": report.hint}
        self.server.reporter.notice("not_ready_hint", text, "warning", details)

    def _ready(self) -> None:
        self.run.note_ready()
        self.life.enter(State.RUNNING, seconds=self.run.uptime)
        self.run.background.start(self.plugins.on_ready(self.server, self.run.endpoint), "on_ready")
