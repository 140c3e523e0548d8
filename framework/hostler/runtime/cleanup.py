"""Releases what a launch holds when its run is over, or never came about."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import anyio

from hostler.concurrency.threads import run_in_thread
from hostler.model.launch import Cleanup, Launch, Sink
from hostler.plugins.hook_calls import Caller, Outcome
from hostler.process.context import SupervisorContext
from hostler.process.disk.namespace import remember_namespace
from hostler.process.disk.run_record import Leftover, RunStore, kill_recorded
from hostler.process.spawn.cgroups import remove_group

_CLEANUP_SECONDS = 10.0
_SINK_SECONDS = 3.0
_REMOVE_SECONDS = 30.0  # a disk may hang
_SWEEP_SECONDS = 30.0


async def sweep(context: SupervisorContext) -> list[Leftover]:
    """Clean up behind all supervisors that were killed, within a deadline; what was found.

    What it writes down first is where the state of this one is found.
    """
    with anyio.move_on_after(_SWEEP_SECONDS, shield=True):
        return await run_in_thread(_sweep, context, abandon_on_cancel=True)
    return [Leftover(problem="it takes too long and continues in the background: perhaps a disk hangs")]


def _sweep(context: SupervisorContext) -> list[Leftover]:
    remember_namespace(context.directories, context.namespace)
    return context.store.sweep(kill_recorded)


async def clean_up(launch: Launch, store: RunStore, warn: Callable[[str], None]) -> None:
    """Close the sinks that no output was given to, run the deferred clean-ups (last first), remove files
    and the control group.

    `warn` is called with everything that failed; nothing is raised. Each clean-up is called once, ever.
    """
    # Taken before anything is awaited: a second clean-up, as at the end of the program, closes none twice.
    if sinks := launch.take_sinks():
        with anyio.move_on_after(_SINK_SECONDS):
            await run_in_thread(_close, sinks, warn, abandon_on_cancel=True)

    while launch.cleanups:
        outcome = await _call(launch.cleanups.pop())
        if outcome.reason:
            warn(f"a clean-up {outcome.reason}")

    if launch.cgroup is not None:
        await run_in_thread(_leave_group, launch.cgroup, warn)

    if launch.temporary:
        await _remove(launch.temporary, store, warn)


async def _remove(paths: Sequence[Path], store: RunStore, warn: Callable[[str], None]) -> None:
    problems = [f"{path} may be left behind: removing it takes too long" for path in paths]
    with anyio.move_on_after(_REMOVE_SECONDS, shield=True):
        _, problems = await run_in_thread(store.remove_temporary, paths, abandon_on_cancel=True)
    for problem in problems:
        warn(problem)


def clean_up_now(launch: Launch, store: RunStore) -> None:
    """Do the same without an event loop: deferred coroutines are not run."""
    _close(launch.take_sinks(), lambda _: None)

    while launch.cleanups:
        with suppress(BaseException):  # not even SystemExit of one may spare the others
            result = launch.cleanups.pop()()
            # Never awaited, it would print a warning while the interpreter ends.
            if inspect.iscoroutine(result):
                result.close()

    if launch.cgroup is not None:
        _leave_group(launch.cgroup, lambda _: None)

    store.remove_temporary(launch.temporary)


async def _call(cleanup: Cleanup) -> Outcome:
    try:
        result = cleanup()
    except BaseException as error:  # noqa: BLE001 - as a hook's, whatever it is
        return Outcome(error=error)

    outcome = Outcome()
    if inspect.isawaitable(result):  # else no task: hundreds that stop together would have one each
        await Caller().run(_result_of, {"call": result}, _CLEANUP_SECONDS, outcome)
    return outcome


async def _result_of(call: Awaitable[object]) -> None:
    await call


def _leave_group(group: Path, warn: Callable[[str], None]) -> None:
    try:
        remove_group(group)
    except OSError as error:
        warn(f"the control group {group} cannot be removed: {error.strerror}")


def _close(sinks: Sequence[Sink], warn: Callable[[str], None]) -> None:
    for sink in sinks:
        try:
            sink.close()
        except BaseException as error:  # noqa: BLE001 - one broken sink must not spare the others
            warn(f"closing an output failed: {error!r}")
