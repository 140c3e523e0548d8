"""What is known about a run that exited unexpectedly: gathered before it is released."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from hostler.errors import ServerError
from hostler.events.crash import CrashRecord, PluginNote
from hostler.model.values import Advice, Exit, Unhealthy
from hostler.runtime.begun_run import Run
from hostler.runtime.health import PluginHealth


def build_crash_report(
    run: Run, exit_: Exit, error: ServerError, advice: Iterable[tuple[str, Advice]]
) -> CrashRecord:
    """The record of a crash, as far as it is known before anybody has decided what follows."""
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
        plugins=(*_health(run), *run.plugin_failures, *(_advised(name, one) for name, one in advice)),
    )


def _health(run: Run) -> list[PluginNote]:
    plugins = [] if run.health is None else run.health.plugins.values()
    return [PluginNote(plugin.name, "health_check", _in_words(plugin)) for plugin in plugins]


def _in_words(plugin: PluginHealth) -> str:
    failed = isinstance(plugin.last, Unhealthy)
    return f"unhealthy ({plugin.failures} in a row): {plugin.word}" if failed else plugin.word


def _advised(plugin: str, advice: Advice) -> PluginNote:
    because = "" if advice.error is None else f": {advice.error.message}"
    return PluginNote(plugin, "on_crash", f"advised to {advice.action.value}{because}")
