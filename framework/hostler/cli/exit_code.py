"""The exit code of `hostler run`."""

from __future__ import annotations

from hostler.model.choices import Kind
from hostler.model.states import State
from hostler.supervisor.essential_servers import exit_code
from hostler.supervisor.supervisor import Supervisor


def verdict(supervisor: Supervisor, code: int) -> int:
    """The code of the run, given that of its command (0 without one); asked before all are stopped.

    An essential server that has ended decides; else the command; else a task that has failed (the
    first with a code of its own); else 1 when anything has failed.
    """
    if supervisor.ended_by is not None:
        return supervisor.ended_by.code
    failed = [server for server in supervisor.servers.values() if server.state is State.FAILED]
    own = [exit_code(server) for server in failed if server.spec.kind is Kind.TASK]
    return code or next((one for one in own if one > 1), int(bool(failed)))
