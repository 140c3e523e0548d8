"""Why a run is not ready when its time is up: one error for each kind of partial start."""

from __future__ import annotations

from hostler.errors import PluginError, ServerError, StartupTimeout
from hostler.run import Run


def why_not_ready(run: Run) -> ServerError:
    """The error that says how far the start came, and what was missing."""
    if run.search is not None and run.endpoint is None:
        return run.search.failure()

    health = run.health
    where = run.endpoint.url if run.endpoint is not None else "it has no port"

    if health is not None and health.unknown:
        plugin = health.unknown[0]
        return PluginError(
            f"nothing is known of its health: plugin {plugin.name} failed: {plugin.fault}",
            hint=f"repair the plugin, or switch it off with {plugin.name} = false",
            permanent=False,
        )

    complaint = None if health is None else health.complaint

    if complaint is not None and complaint.error is not None:
        return complaint.error

    reason = "no health plugin has reported yet" if complaint is None else complaint.reason
    return StartupTimeout(
        f"the process is up ({where}), but it is not ready after {run.spec.startup_timeout:g} s: {reason}",
        hint="raise startup_timeout if it needs longer; its last lines are below",
        details={"reason": reason},
    )
