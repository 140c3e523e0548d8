"""Why a run is not ready when its time is up: one error for each kind of partial start."""

from __future__ import annotations

from hostler.errors import PluginError, ServerError, StartupTimeout
from hostler.health import PluginHealth
from hostler.model import HealthRule, Unhealthy
from hostler.run import Run


def why_not_ready(run: Run) -> ServerError:
    """The error that says how far the start came, and what was missing."""
    if run.search is not None and run.endpoint is None:
        return run.search.failure()

    watch = run.health
    missing = [] if watch is None else watch.missing
    unknown = [plugin for plugin in missing if plugin.fault]

    if unknown and (run.spec.health is HealthRule.ALL or len(unknown) == len(missing)):
        return _nothing_known(unknown[0])

    if len(missing) == 1 and isinstance(missing[0].last, Unhealthy) and missing[0].last.error is not None:
        return missing[0].last.error

    return _not_healthy(run, missing)


def _nothing_known(plugin: PluginHealth) -> ServerError:
    return PluginError(
        f"nothing is known of its health: plugin {plugin.name} failed: {plugin.fault}",
        hint=f"repair the plugin, or switch it off with {plugin.name} = false",
        permanent=False,
    )


def _not_healthy(run: Run, missing: list[PluginHealth]) -> ServerError:
    where = run.endpoint.url if run.endpoint is not None else "it has no port"
    reason = "; ".join(f"{plugin.name}: {plugin.word}" for plugin in missing)
    return StartupTimeout(
        f"the process is up ({where}), but it is not ready after {run.spec.startup_timeout:g} s: {reason}",
        hint="raise startup_timeout if it needs longer; its last lines are below",
        details={"reason": reason},
    )
