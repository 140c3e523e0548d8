"""The state crashed: the rest of the tree ends, the plugins are asked, the crash record is built."""

from __future__ import annotations

from hostler.engine.lifecycle_state import LifecycleState
from hostler.engine.monitor import RunOutcome
from hostler.engine.restart import Crash
from hostler.engine.shutdown import empty_tree, unless_forced
from hostler.errors import ServerError
from hostler.events.events import Exited
from hostler.model.choices import Kind
from hostler.model.states import State
from hostler.model.values import Action, Advice, Exit, ExitCause
from hostler.plugins.host import PluginHost
from hostler.runtime.base_run import Run
from hostler.runtime.crash_report import build_crash_report
from hostler.runtime.exit_error import (
    READ_NOTHING,
    error_of,
    how_it_ended,
    left_behind,
    names_its_input,
    report_background,
)
from hostler.runtime.restart_budget import after_running

_STRENGTH = tuple(Action)


async def handle_crash(life: LifecycleState, run: Run, outcome: RunOutcome) -> Crash:
    """Empty the tree if it lives, ask the plugins, release the run; what happened, as a value."""
    server, reporter, ran = life.server, life.server.reporter, run.ready_for
    left = () if outcome.error is not None else left_behind(run)
    seen = run.exit(ExitCause.EXITED)  # as far as it is seen now: its last lines are not all there

    if server.spec.port is None:  # else the error says it; of one that has done its work nothing else does
        report_background(run, seen, left)

    if outcome.error is not None:
        reporter.own(outcome.error)

    reason = outcome.reason or how_it_ended(run, seen, left)
    life.enter(State.CRASHED, reason=reason, error=outcome.error)
    await run.close_health()
    await empty_tree(life, run)
    exit_ = run.exit(outcome.cause)  # not before: its last lines are in
    error = outcome.error or error_of(run, exit_, left)
    exit_ = run.explained(exit_, error, outcome.unhealthy)

    if exit_.ready and server.spec.port is None and names_its_input(run, exit_):
        reporter.notice("input_ended", READ_NOTHING, "warning")  # else it may have done its work

    reporter.emit(Exited(**reporter.origin, exit=exit_))
    advice = await _ask_plugins(life, run, exit_)
    await run.close()  # after the plugins: they may look at what it has left in its files
    life.publish(run=None)

    if exit_.ready and server.spec.kind is Kind.SERVER:  # a task that fails late has failed all the same
        life.publish(budget=after_running(server.status.budget, server.spec.restart, ran))

    return _judge(run, exit_, error, advice)


async def _ask_plugins(life: LifecycleState, run: Run, exit_: Exit) -> list[tuple[str, Advice]]:
    advice: list[tuple[str, Advice]] = []

    async def ask(plugins: PluginHost) -> None:
        advice.extend(await plugins.on_crash(life.server, exit_))

    if life.plugins is not None and life.plugins.has("on_crash"):
        await unless_forced(run, ask(life.plugins))
    return advice


def _judge(run: Run, exit_: Exit, error: ServerError, advice: list[tuple[str, Advice]]) -> Crash:
    """The strongest advice counts, and its error where it has one of its own."""
    given = sorted((one for _, one in advice), key=lambda one: _STRENGTH.index(one.action))
    own = next((one.error for one in reversed(given) if one.error is not None), None)

    if own is not None:
        error = run.reporter.own(own, stdout=exit_.stdout, stderr=exit_.stderr)

    record = build_crash_report(run, exit_, error, advice)
    return Crash(exit_, error, given[-1].action if given else None, record)
