"""Stopping, and crashed: the tree is emptied, the plugins are heard, everything is released."""

from __future__ import annotations

from collections.abc import Coroutine
from dataclasses import dataclass, replace
from typing import Any

import anyio

from hostler.engine.crash_report import build_crash_report
from hostler.engine.dependencies import until_followers_are_gone
from hostler.engine.exit_error import (
    READ_NOTHING,
    background_notice,
    error_of,
    in_background,
    left_behind,
    names_its_input,
    went_to_background,
)
from hostler.engine.lifecycle_state import LifecycleState
from hostler.engine.monitor import RunOutcome
from hostler.engine.restart import Crash, after_running
from hostler.engine.run import Run
from hostler.errors import ServerError
from hostler.events.crash import CrashRecord
from hostler.events.events import Exited
from hostler.model.choices import Kind, RestartMode
from hostler.model.states import COMPLETED, DONE, State
from hostler.model.values import Action, Advice, Exit, ExitCause, Unhealthy
from hostler.plugins.host import PluginHost
from hostler.runtime.survivors import Unstoppable

_LAST_TRY_SECONDS = 5.0
_STRENGTH = tuple(Action)


@dataclass(frozen=True, slots=True)
class Shutdown:
    """The paragraph of the life that is the states stopping and crashed."""

    life: LifecycleState
    run: Run

    async def leave(self, ending: RunOutcome) -> Crash | None:
        """End the run; None when it was stopped as asked, or has ended with success."""
        if ending.cause is ExitCause.EXITED and self._has_succeeded():
            await self._stop(replace(ending, reason=self._success))
        elif ending.cause is not ExitCause.STOPPED:
            return await self.crash(ending)
        else:
            await self._stop(ending)
        return None

    def _has_succeeded(self) -> bool:
        server, status = self.life.server, self.run.exit_status
        if status is None or server.end_asked or server.spec.restart.policy is RestartMode.ALWAYS:
            return False
        done = server.spec.kind is Kind.TASK and status.code == 0
        return done or status.name in server.spec.success_exit_codes

    @property
    def _success(self) -> str:
        return COMPLETED if self.life.server.spec.kind is Kind.TASK else DONE

    async def _stop(self, ending: RunOutcome) -> None:
        """Everything in order: dependents, streams, plugins, tree, clean-up, rest."""
        server = self.life.server
        self.life.enter(State.STOPPING, reason=ending.reason)
        await _unless(self.run.cut_short, until_followers_are_gone(server))
        await self.run.close_health()

        if self.life.plugins is not None and self.life.plugins.has("on_shutdown"):
            await _unless(self.run.cut_short, self.life.plugins.on_shutdown(server, ending.reason))

        left = left_behind(self.run) if ending.cause is ExitCause.EXITED else ()
        self._tell_background(left)
        await self._empty_tree()
        self._tell_exit(self._exit(ending.cause))
        await self.run.close()  # before rest: who waits for that may start another one with the same files

        if ending.cause is ExitCause.EXITED:
            self._complete()
        else:
            self.life.rest(State.STOPPED, reason="" if server.desired.is_up else server.desired.reason)

    def _complete(self) -> None:
        """It has done its work, unless it was started again meanwhile."""
        server = self.life.server
        server.desired.done(task=server.spec.kind is Kind.TASK, returns=True)
        self.life.rest(State.STOPPED, reason=self._success)

    async def _empty_tree(self) -> None:
        """Stop the tree; "stopped" is not said before it is empty."""
        server = self.life.server
        unstoppable = Unstoppable(server.context.processes, server.reporter)
        left = await self.run.stop_tree(server.spec.force_kill_timeout, unstoppable.refuse)
        while left:
            stuck = unstoppable.error(left)
            stdout, stderr = self.run.tails()
            self.life.set_stuck(server.reporter.own(stuck, stdout=stdout, stderr=stderr))
            text = f"{stuck.message}; what to do: {stuck.context.hint}"
            server.reporter.notice("still_alive", text, "warning", {"pids": list(left)})
            server.wake()
            left = await self.run.stop_tree(_LAST_TRY_SECONDS, unstoppable.refuse)

        self.life.set_stuck(None)

    async def crash(self, ending: RunOutcome) -> Crash:
        """Empty the tree if it lives, hear the plugins, clean up; what happened, as a value."""
        server, ran = self.life.server, self.run.ready_for
        left = () if ending.error is not None else left_behind(self.run)
        reason = ending.reason or self._why(left)

        if server.spec.port is None:
            self._tell_background(left)

        if ending.error is not None:
            server.reporter.own(ending.error)

        self.life.enter(State.CRASHED, reason=reason, error=ending.error)
        await self.run.close_health()
        await self._empty_tree()
        exit_ = self._exit(ending.cause, ending.error, ending.unhealthy)  # not before: its last lines are in
        if exit_.error is None:
            exit_ = self._exit(ending.cause, error_of(self.run, exit_, left), ending.unhealthy)

        if exit_.ready and server.spec.port is None and names_its_input(self.run, exit_):
            server.reporter.notice("input_ended", READ_NOTHING, "warning")  # it may have done its work else

        self._tell_exit(exit_)
        advice = await self._hear_plugins(exit_)
        await self.run.close()  # after the plugins: they may look at what it has left in its files
        self.life.end_run()

        if exit_.ready and server.spec.kind is Kind.SERVER:  # a task that fails late has failed all the same
            self.life.set_budget(after_running(server.status.budget, server.spec.restart, ran))

        return self._judge(exit_, advice)

    def broken_off(self, error: ServerError) -> CrashRecord:
        """What is known of a run that ended because hostler itself failed."""
        return build_crash_report(self.run, self._exit(ExitCause.EXITED), error, ())

    async def _hear_plugins(self, exit_: Exit) -> list[tuple[str, Advice]]:
        advice: list[tuple[str, Advice]] = []
        plugins = self.life.plugins

        async def hear(plugins: PluginHost) -> None:
            advice.extend(await plugins.on_crash(self.life.server, exit_))

        if plugins is not None and plugins.has("on_crash"):
            await _unless(self.run.cut_short, hear(plugins))
        return advice

    def _tell_background(self, left: tuple[int, ...]) -> None:
        """Tell it of what ended with success: nothing else does."""
        exit_ = self._exit(ExitCause.EXITED)
        if went_to_background(self.run, exit_, left):
            text = background_notice(exit_, left)
            self.life.server.reporter.notice("went_to_background", text, "warning", {"pids": list(left)})

    def _why(self, left: tuple[int, ...]) -> str:
        """How it ended, as long as its last lines are not all there."""
        exit_ = self._exit(ExitCause.EXITED)
        background = went_to_background(self.run, exit_, left)
        return in_background(exit_, left) if background else exit_.description

    def _judge(self, exit_: Exit, advice: list[tuple[str, Advice]]) -> Crash:
        words = sorted((word for _, word in advice), key=lambda word: _STRENGTH.index(word.action))
        own = next((word.error for word in reversed(words) if word.error is not None), None)
        error = exit_.error or ServerError("it failed")

        if own is not None:
            error = self.life.server.reporter.own(own, stdout=exit_.stdout, stderr=exit_.stderr)

        return Crash(
            exit_,
            error,
            words[-1].action if words else None,
            build_crash_report(self.run, exit_, error, advice),
        )

    def _exit(
        self, cause: ExitCause, error: ServerError | None = None, unhealthy: Unhealthy | None = None
    ) -> Exit:
        """The end of the run as a value; complete when the tree is gone and the output drained."""
        run, reporter, status = self.run, self.run.reporter, self.run.exit_status
        stdout, stderr = run.tails()

        return Exit(
            cause=cause,
            generation=run.generation,
            code=None if status is None else status.code,
            signal=None if status is None else status.signal,
            pid=None if run.process is None else run.process.pid,
            ready=run.ready_at is not None,
            killed=run.told_to_end,
            uptime=run.uptime,
            stdout=stdout,
            stderr=stderr,
            unhealthy=None if unhealthy is None else reporter.report(unhealthy),
            error=None if error is None else reporter.own(error, stdout=stdout, stderr=stderr),
        )

    def _tell_exit(self, exit_: Exit) -> None:
        self.life.server.reporter.emit(
            Exited(server=self.life.server.name, generation=self.run.generation, exit=exit_)
        )


async def _unless(event: anyio.Event, work: Coroutine[Any, Any, None]) -> None:
    """Await `work`, but no longer than until `event`: not at all when that was before."""
    if event.is_set():
        work.close()
        return

    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            await event.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        await work
        tasks.cancel_scope.cancel()
