"""The plugins of one server, with their failures reported."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from hostler.events.crash import PluginNote
from hostler.events.events import PluginFailed
from hostler.model.spec import ServerSpec
from hostler.plugins.hook_stats import Failure
from hostler.plugins.host import PluginHost
from hostler.runtime.reporter import Reporter


def build_plugins(spec: ServerSpec, reporter: Reporter, note: Callable[[PluginNote], None]) -> PluginHost:
    """Build a server's plugins. Raises PluginError.

    Each of their failures from now on is reported, and given to `note`, for the crash record.
    """
    plugins = PluginHost(spec.plugins, on_failure=partial(_report, reporter, note))
    reporter.counting.go_on_with(plugins.accounting)
    for one in plugins.deprecations:
        details = {"plugin": one.plugin, "hook": one.hook, "argument": one.argument}
        reporter.notice("deprecated", str(one), "warning", details)
    return plugins


def _report(reporter: Reporter, note: Callable[[PluginNote], None], failure: Failure) -> None:
    what = failure.reason if failure.slow else f"failed: {failure.reason}"
    note(PluginNote(failure.plugin, failure.hook, what))

    if failure.slow:  # no PluginFailed: a busy machine does that to any plugin
        text = f"plugin {failure.plugin} {failure.reason} in {failure.hook}"
        details = {"plugin": failure.plugin, "hook": failure.hook, "seconds": failure.seconds}
        reporter.notice("plugin_slow", text, details=details)
        return

    reporter.emit(
        PluginFailed(
            **reporter.origin,
            plugin=failure.plugin,
            hook=failure.hook,
            reason=failure.reason,
            seconds=failure.seconds,
            disabled=failure.disabled,
        )
    )
