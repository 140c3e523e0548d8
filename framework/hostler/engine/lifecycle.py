"""The life of a server: one straight-line coroutine that goes through the states, start after start."""

from __future__ import annotations

import logging
import traceback
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio
from msgspec.structs import replace as replace_fields

from hostler.engine.crash import handle_crash
from hostler.engine.dependencies import follow_needed, lost_meanwhile
from hostler.engine.lifecycle_state import LifecycleState
from hostler.engine.monitor import Monitor, RunOutcome
from hostler.engine.restart import Crash, blames_its_port, decide
from hostler.engine.run import LiveRun, PreparedRun
from hostler.engine.shutdown import stop
from hostler.engine.startup import Startup
from hostler.errors import ServerError
from hostler.events.events import RestartScheduled
from hostler.model.states import MOVES, State
from hostler.model.values import ExitCause
from hostler.plugins.host import PluginHost
from hostler.process.spawn.spawn import explain
from hostler.runtime.base_run import Run
from hostler.runtime.crash_report import build_crash_report
from hostler.runtime.restart_budget import Budget

_WHOSE_MISTAKE = 'the logger "hostler" has the traceback: please report it, unless it leads to your own code'


class Lifecycle(LifecycleState):
    """Drives one server from start to stop, again and again, for as long as `run` is not cancelled."""

    async def run(self) -> None:
        """Wait for a start, keep the server up until it is stopped or has failed, and so on."""
        desired = self.server.desired
        try:
            while True:
                await desired.wait_start_requested()
                if desired.is_up:
                    await self._keep_up_or_fail()
        except BaseException:
            self._kill_now()
            raise

    async def _keep_up_or_fail(self) -> None:
        try:
            await self._keep_up()
        except Exception as error:  # noqa: BLE001 - a mistake of ours must leave no process and no silence
            if not self.server.context.affinity.forked:
                await self._fail_internally(error)

    async def _keep_up(self) -> None:
        planned = self.server.desired.take_planned()
        if self.server.state is State.FAILED and not planned:
            self.drop_plugins()
        self.publish(budget=Budget(was_ready=self.server.status.budget.was_ready and planned))
        while (crash := await self._run_once()) is not None:
            if not await self._restarts_after(crash):
                return
            del crash  # its last lines would stay for as long as the next run

    # -- one generation -----------------------------------------------------------------------

    async def _run_once(self) -> Crash | None:
        """One generation: starting, waiting_ready, running, stopping or crashed; None when it was stopped."""
        startup = Startup(self, self.begin_run())
        prepared = await startup.prepare()
        if isinstance(prepared, ServerError):
            return await self._fail_start(startup.run, prepared)
        if prepared is None or self.server.end_asked or lost_meanwhile(self.server):
            await startup.run.close()
            self.deactivate(State.STOPPED, reason=self._why_not_spawned())
            return None

        plugins = self.build_plugins()
        try:
            run = self._spawn(prepared, plugins)
        except ServerError as error:
            return await self._fail_start(self.server.run or prepared, error)

        del startup, prepared  # the same as the run, and here for as long as it lives
        self.publish(spawned_generation=run.generation)
        follow_needed(self.server)
        self.enter(State.WAITING_READY)
        return await self._end(run, await Monitor(self, run, plugins).watch())

    async def _fail_start(self, run: Run, error: ServerError) -> Crash:
        return await handle_crash(self, run, RunOutcome(ExitCause.SPAWN_FAILED, error.message, error))

    def _why_not_spawned(self) -> str:
        """Read after the clean-up: with a stop requested, it is none of the needed servers."""
        server = self.server
        lost = "" if server.end_asked else lost_meanwhile(server)
        gone = f"{lost} went down while it was being prepared" if lost else ""
        return gone or server.desired.stop_reason or "stopped while starting"

    def _spawn(self, prepared: PreparedRun, plugins: PluginHost) -> LiveRun:
        """Start the process. Whatever fails here is a failed start, and is cleaned up like one."""
        try:
            parse_port = partial(plugins.parse_port, self.server)
            run = LiveRun(prepared, parse_port, returns=self.server.status.budget.was_ready)
            self.publish(run=run)  # no await since the spawn: whoever kills us now finds the process
            run.register()
        except ServerError:
            raise
        except OSError as error:
            raise explain(error, prepared.launch.argv[0]) from error
        except Exception as error:
            raise ServerError(f"the process could not be started: {error!r}") from error
        return run

    async def _end(self, run: LiveRun, outcome: RunOutcome) -> Crash | None:
        budget = self.server.status.budget
        if run.ready_at is not None and not budget.was_ready:
            self.publish(budget=replace_fields(budget, was_ready=True))
        if outcome.unexpected:
            return await handle_crash(self, run, outcome)
        await stop(self, run, outcome)
        return None

    # -- after a crash ------------------------------------------------------------------------

    async def _restarts_after(self, crash: Crash) -> bool:
        """Do what is decided; True when the next run may begin."""
        server, desired = self.server, self.server.desired
        decision = decide(
            crash,
            server.spec,
            server.status.budget,
            command=desired.ending_command if server.end_asked else "",
            port_lingers=not server.end_asked and self._port_lingers_after(crash),
            jitter=server.context.jitter(),
        )
        self.publish(budget=decision.budget)

        if decision.outcome is State.BACKOFF:
            return await self._back_off(crash)

        if decision.done:
            desired.done()

        self._record(crash, decision.outcome, decision.reason)
        failed = decision.outcome is State.FAILED
        reason = f"{decision.reason}: {crash.error.message}" if failed else decision.reason
        self.deactivate(decision.outcome, reason=reason, error=crash.error if failed else None)
        return False

    def _port_lingers_after(self, crash: Crash) -> bool:
        """Whether connections of a former run kept its port: then the next start waits for it."""
        server, port = self.server, self.last_port
        if port is None or not blames_its_port(crash, server.spec, server.status.budget):
            return False
        lingers = server.context.processes.needs_only_time(server.spec.host, port, reuse=False)
        if lingers:
            self.refuse_port()
        return lingers

    def _record(self, crash: Crash, outcome: State, decision: str, next_try: datetime | None = None) -> None:
        budget = self.server.status.budget
        used, allowed = budget.spent(self.server.spec.restart)
        self.record_crash(
            crash.record,
            outcome=outcome,
            decision=decision,
            next_try=next_try,
            restarts_used=used,
            restarts_allowed=allowed,
            first_start=not budget.was_ready,
        )

    async def _back_off(self, crash: Crash) -> bool:
        """Wait for the next run, which a start begins at once; False when a stop came first."""
        server, budget = self.server, self.server.status.budget
        delay, (used, allowed) = budget.last_delay, budget.spent(server.spec.restart)
        self.publish(restarts=server.restarts + 1)
        self._record(crash, State.BACKOFF, "", datetime.now(UTC) + timedelta(seconds=delay))
        self.enter(State.BACKOFF, reason=crash.error.message, error=crash.error)
        server.reporter.emit(
            RestartScheduled(
                **server.reporter.origin,
                used=used,
                allowed=allowed,
                delay=delay,
                first_start=not budget.was_ready,
            )
        )

        if delay > 0:
            with anyio.move_on_after(delay):
                await server.until(lambda: server.end_asked or server.desired.start_requested)

        if server.end_asked:
            self.deactivate(State.STOPPED, reason=server.desired.ending_command)
            return False

        return True

    # -- when hostler itself ends or fails ----------------------------------------------------

    def _kill_now(self) -> None:
        """The engine is torn down: no time for anything but the end of the tree."""
        server = self.server
        server.desired.give_up()
        gone = server.run is None or server.run.kill_now()
        while gone and not server.state.at_rest:
            last = State.STOPPED in MOVES[server.state]
            self.deactivate(State.STOPPED) if last else self.enter(State.STOPPING)
        self.release()

    async def _fail_internally(self, error: Exception) -> None:
        server, run = self.server, self.server.run
        failure = ServerError(f"hostler itself failed: {error!r}", hint=_WHOSE_MISTAKE)
        server.reporter.own(failure)
        trace = server.reporter.masker.text("".join(traceback.format_exception(error)))
        logging.getLogger("hostler").error("%s: %s\n%s", server.name, failure.message, trace)
        server.desired.give_up()

        with suppress(Exception):  # the clean-up may be what failed: the state is to be true all the same
            if run is not None and run.kill_now():
                await run.close()

        if server.state.at_rest or server.state is State.BACKOFF:
            self.enter(State.STARTING)  # that is what broke; and only what had started can have failed

        if server.state not in {State.CRASHED, State.STOPPING}:
            self.enter(State.CRASHED, reason=failure.message, error=failure)

        last = State.FAILED if server.state is State.CRASHED else State.STOPPED
        self.publish(unkillable=failure if last is State.STOPPED else None)

        with suppress(Exception):
            if run is not None:
                record = build_crash_report(run, run.exit(ExitCause.EXITED), failure, ())
                self.record_crash(record, outcome=last, decision="hostler itself failed")

        self.deactivate(last, reason=failure.message, error=failure)
