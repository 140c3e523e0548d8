"""The state stopping: dependents first, then the plugins, the process tree, and all that the run holds."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any

import anyio

from hostler.engine.dependencies import wait_dependents_gone
from hostler.engine.lifecycle_state import LifecycleState
from hostler.engine.monitor import RunOutcome
from hostler.engine.run import LiveRun
from hostler.events.events import Exited
from hostler.model.choices import Kind
from hostler.model.states import State
from hostler.model.values import ExitCause
from hostler.runtime.base_run import Run
from hostler.runtime.exit_error import left_behind, report_background
from hostler.runtime.unkillable import Unstoppable

_LAST_TRY_SECONDS = 5.0


async def stop(life: LifecycleState, run: LiveRun, outcome: RunOutcome) -> None:
    """Stop a run in order, as requested or because it has done its work; then the server is stopped."""
    server, desired = life.server, life.server.desired
    life.enter(State.STOPPING, reason=outcome.reason)
    if server.dependents:
        await unless_forced(run, wait_dependents_gone(server))
    await run.close_health()  # before the plugins let go of what the checks use

    if life.plugins is not None and life.plugins.has("on_shutdown"):
        await unless_forced(run, life.plugins.on_shutdown(server, outcome.reason))

    if outcome.succeeded:
        report_background(run, run.exit(ExitCause.EXITED), left_behind(run))

    await empty_tree(life, run)
    server.reporter.emit(Exited(**server.reporter.origin, exit=run.exit(outcome.cause)))
    # Before it is stopped: who waits for that may start another one with the same files.
    await run.close(last=not desired.is_up)

    if outcome.succeeded:
        desired.done(task=server.spec.kind is Kind.TASK, returns=True)
        life.deactivate(State.STOPPED, reason=outcome.reason)
    else:
        life.deactivate(State.STOPPED, reason="" if desired.is_up else desired.stop_reason)


async def empty_tree(life: LifecycleState, run: Run) -> None:
    """Stop the process tree, if there is one; "stopped" is not reported before it is empty."""
    if not isinstance(run, LiveRun):
        return

    server = life.server
    unstoppable = Unstoppable(server.context.processes, server.reporter)
    left = await run.stop_tree(server.spec.force_kill_timeout, unstoppable.refuse)
    while left:
        error = unstoppable.error(left)
        stdout, stderr = run.tails()
        life.publish(unkillable=server.reporter.own(error, stdout=stdout, stderr=stderr))
        text = f"{error.message}; what to do: {error.context.hint}"
        server.reporter.notice("still_alive", text, "warning", {"pids": list(left)})
        server.wake()  # `stop` returns with this error, while we go on trying
        left = await run.stop_tree(_LAST_TRY_SECONDS, unstoppable.refuse)

    if server.status.unkillable is not None:
        life.publish(unkillable=None)


async def unless_forced(run: Run, work: Coroutine[Any, Any, None]) -> None:
    """Await `work`, but no longer than until the stop is forced: not at all when that was before."""
    if run.forced.is_set():
        work.close()
        return

    async with anyio.create_task_group() as tasks:

        async def watch() -> None:
            await run.forced.wait()
            tasks.cancel_scope.cancel()

        tasks.start_soon(watch)
        await work
        tasks.cancel_scope.cancel()
