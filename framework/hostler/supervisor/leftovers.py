"""What killed supervisors have left behind, removed when the next one begins."""

from __future__ import annotations

from hostler.events.events import Notice
from hostler.process.context import SupervisorContext
from hostler.runtime.cleanup import sweep


async def removed_leftovers(context: SupervisorContext, unknown: str) -> list[Notice]:
    """Clean up, and tell what there was; what has no record of its server is told of the server `unknown`."""
    return [
        Notice(
            server=recovered.record.server if recovered.record is not None else unknown,
            generation=0,
            topic="orphans_removed",
            text=recovered.text,
            level="warning" if recovered.problem else "info",
            details={"pids": list(recovered.pids_killed)},
        )
        for recovered in await sweep(context)
    ]
