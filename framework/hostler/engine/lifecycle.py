"""The life of a server: one straight-line coroutine whose paragraphs are the states."""

from __future__ import annotations

import logging
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import anyio

from hostler.engine.dependencies import follow_needed, lost_meanwhile
from hostler.engine.lifecycle_state import LifecycleState
from hostler.engine.live_run import LiveRun
from hostler.engine.monitor import Monitor, RunOutcome
from hostler.engine.restart import Budget, Crash, blames_its_port, decide
from hostler.engine.run import PreparedRun, Run
from hostler.engine.shutdown import Shutdown
from hostler.engine.startup import Startup
from hostler.errors import ServerError
from hostler.events.events import RestartScheduled
from hostler.model.launch import Launch
from hostler.model.states import MOVES, State
from hostler.model.values import ExitCause
from hostler.process.spawn.spawn import explain

_WHOSE_MISTAKE = 'the logger "hostler" has the traceback: report it where it leads to nothing of yours'


class Lifecycle(LifecycleState):
    """Drives one server from rest to rest, for as long as `live` is not cancelled."""

    async def live(self) -> None:
        """At rest, kept up, at rest, and so on."""
        server = self.server
        try:
            while True:
                await server.desired.until_start_asked()
                if server.desired.is_up:
                    await self._keep_up_or_collapse()

        except BaseException:
            self._end_at_once()
            raise

    async def _keep_up_or_collapse(self) -> None:
        try:
            await self._keep_up()
        except Exception as error:  # noqa: BLE001 - a mistake of ours must leave no process and no silence
            if not self.server.context.affinity.forked:
                await self._collapse(error)

    async def _keep_up(self) -> None:
        server = self.server
        planned = server.desired.take_planned()
        if server.state is State.FAILED and not planned:
            self.drop_plugins()
        self.set_budget(Budget(was_ready=server.status.budget.was_ready and planned))
        while (crash := await self._run_once(Startup(self, self.begin_run()))) is not None:
            if not await self._runs_again_after(crash):
                return

    async def _run_once(self, start: Startup) -> Crash | None:
        """One generation: starting, waiting_ready, running, stopping or crashed; None when it was stopped."""
        prepared = await start.prepare()
        if isinstance(prepared, ServerError):
            return await self._give_up_start(start.run, prepared)
        if prepared is None or self.server.end_asked or lost_meanwhile(self.server):
            await start.run.close()
            self.rest(State.STOPPED, reason=self._why_not_spawned())
            return None
        return await self._spawn_and_watch(prepared)

    async def _give_up_start(self, run: Run, error: ServerError) -> Crash:
        return await Shutdown(self, run).crash(RunOutcome(ExitCause.SPAWN_FAILED, error.message, error))

    def _why_not_spawned(self) -> str:
        """Read after the clean-up: with a stop asked for, it is none of the needed servers."""
        server = self.server
        lost = "" if server.end_asked else lost_meanwhile(server)
        gone = f"{lost} went away while it was prepared" if lost else ""
        return gone or server.desired.reason or "stopped while starting"

    async def _spawn_and_watch(self, prepared: PreparedRun) -> Crash | None:
        server, plugins = self.server, self.build_plugins()
        reached = prepared
        try:
            with _as_server_error(prepared.launch):
                reached = run = LiveRun(prepared, partial(plugins.parse_port, server))
                self.show_run(run)  # no await since the spawn: whoever ends us now finds the process
                run.register()
        except ServerError as error:
            return await self._give_up_start(reached, error)

        self.note_spawned()
        follow_needed(server)
        self.enter(State.WAITING_READY)
        monitor = Monitor(self, plugins, run)
        monitor.begin()
        ending = await monitor.until_ending()
        was_ready = server.status.budget.was_ready or run.ready_at is not None
        self.set_budget(replace(server.status.budget, was_ready=was_ready))
        return await Shutdown(self, run).leave(ending)

    async def _runs_again_after(self, crash: Crash) -> bool:
        """Do what is decided; True when the next run may begin."""
        server = self.server
        decision = decide(
            crash,
            server.spec,
            server.status.budget,
            command=server.desired.what_ends_it if server.end_asked else "",
            port_lingers=not server.end_asked and self._port_lingers_after(crash),
            jitter=server.context.jitter(),
        )
        self.set_budget(decision.budget)

        if decision.outcome is State.BACKOFF:
            return await self._back_off(crash)

        if decision.done:
            server.desired.done()

        self._record(crash, decision.outcome, decision.reason)
        failed = decision.outcome is State.FAILED
        reason = f"{decision.reason}: {crash.error.message}" if failed else decision.reason
        self.rest(decision.outcome, reason=reason, error=crash.error if failed else None)
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
        self.server.note_crash(
            replace(
                crash.record,
                outcome=outcome,
                decision=decision,
                restarts_used=used,
                restarts_allowed=allowed,
                first_start=not budget.was_ready,
                next_try=next_try,
            )
        )

    async def _back_off(self, crash: Crash) -> bool:
        """Wait for the next run, which a start begins at once; False when a stop came first."""
        server, delay = self.server, self.server.status.budget.last_delay
        used, allowed = server.status.budget.spent(server.spec.restart)
        self.note_restart()
        self._record(crash, State.BACKOFF, "", datetime.now(UTC) + timedelta(seconds=delay))
        self.enter(State.BACKOFF, reason=crash.error.message, error=crash.error)
        server.reporter.emit(
            RestartScheduled(
                server=server.name,
                generation=server.generation,
                used=used,
                allowed=allowed,
                delay=delay,
                first_start=not server.status.budget.was_ready,
            )
        )

        if delay > 0:
            with anyio.move_on_after(delay):
                await server.until(lambda: server.end_asked or server.desired.start_asked)

        if server.end_asked:
            self.rest(State.STOPPED, reason=server.desired.what_ends_it)
            return False

        return True

    def _end_at_once(self) -> None:
        """The engine is torn down: no time for anything but the end of the tree."""
        server = self.server
        server.desired.give_up()
        gone = server.run is None or server.run.kill_now()
        while gone and not server.state.at_rest:
            last = State.STOPPED in MOVES[server.state]
            self.rest(State.STOPPED) if last else self.enter(State.STOPPING)
        self.let_go()

    async def _collapse(self, error: Exception) -> None:
        server, run = self.server, self.server.run
        failure = ServerError(f"hostler itself failed: {error!r}", hint=_WHOSE_MISTAKE)
        server.reporter.own(failure)
        trace = server.reporter.masker.text("".join(traceback.format_exception(error)))
        logging.getLogger("hostler").error("%s: %s\n%s", server.name, failure.message, trace)
        server.desired.give_up()

        with suppress(Exception):
            if run is not None and run.kill_now():
                await run.close()

        if server.state.at_rest or server.state is State.BACKOFF:
            self.enter(State.STARTING)  # that is what broke; and only what had started can have failed

        if server.state not in {State.CRASHED, State.STOPPING}:
            self.enter(State.CRASHED, reason=failure.message, error=failure)

        last = State.FAILED if server.state is State.CRASHED else State.STOPPED
        self.set_stuck(failure if last is State.STOPPED else None)

        with suppress(Exception):
            if run is not None:
                record = Shutdown(self, run).broken_off(failure)
                server.note_crash(replace(record, outcome=last, decision="hostler itself failed"))

        self.rest(last, reason=failure.message, error=failure)


@contextmanager
def _as_server_error(launch: Launch) -> Iterator[None]:
    """Whatever fails in a spawn is told as a failed start, and cleaned up like one."""
    try:
        yield
    except ServerError:
        raise
    except OSError as error:
        raise explain(error, launch.argv[0]) from error
    except Exception as error:
        raise ServerError(f"the process could not be started: {error!r}") from error
