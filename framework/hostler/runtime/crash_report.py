"""The crash record of a run: what is known about an unexpected exit, before the run is released."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

from hostler.errors import ServerError
from hostler.events.crash import CrashRecord, PluginNote
from hostler.model.values import Advice, Exit, Unhealthy
from hostler.runtime.base_run import Run


def build_crash_report(
    run: Run, exit_: Exit, error: ServerError, advice: Iterable[tuple[str, Advice]]
) -> CrashRecord:
    """Build the record of a crash, all but what is decided next."""
    age = 0.0 if run.exited_at is None else run.context.clock() - run.exited_at

    return CrashRecord(
        server=run.spec.name,
        generation=run.generation,
        when=datetime.now(UTC) - timedelta(seconds=max(age, 0.0)),
        cause=exit_.cause,
        how=exit_.description,
        reason=error.message,
        error=type(error).__name__,
        hint=error.context.hint,
        pid=exit_.pid,
        code=exit_.code,
        signal=exit_.signal,
        ready=exit_.ready,
        killed=exit_.killed,
        uptime=round(exit_.uptime, 3),
        stdout=exit_.stdout,
        stderr=exit_.stderr,
        memory=tuple(run.memory),
        plugins=(*_health(run), *run.plugin_failures, *_advised(advice)),
    )


def _health(run: Run) -> Iterator[PluginNote]:
    for plugin in () if run.health is None else run.health.plugins.values():
        row = f"unhealthy ({plugin.failures} in a row): " if isinstance(plugin.last, Unhealthy) else ""
        yield PluginNote(plugin.name, "health_check", f"{row}{plugin.summary}")


def _advised(advice: Iterable[tuple[str, Advice]]) -> Iterator[PluginNote]:
    for plugin, one in advice:
        reason = "" if one.error is None else f": {one.error.message}"
        yield PluginNote(plugin, "on_crash", f"advised to {one.action.value}{reason}")
