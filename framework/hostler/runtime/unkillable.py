"""The processes of a server that cannot be stopped, and why."""

from __future__ import annotations

from collections.abc import Collection

from hostler.errors import ForceKillTimeout
from hostler.model.dataclass import dataclass
from hostler.process.system import Processes
from hostler.runtime.reporter import Reporter

_ANOTHER_USER = (
    "end it as that user, or as root (with CAP_KILL); with no_new_privileges = true, the default, no program "
    "of a server becomes another user"
)
_IN_THE_KERNEL = "they hang in the kernel (usually a dead disk or mount); see ps -o pid,stat,wchan"


@dataclass(slots=True, eq=False, repr=False)
class Unstoppable:
    """Reports which processes of a tree may not be signalled, and in the end which outlive their stop."""

    processes: Processes
    reporter: Reporter
    _refused: frozenset[int] = frozenset()

    def refuse(self, pid: int) -> None:
        """Note a process that we may not signal, and report it once."""
        if pid not in self._refused:
            self._refused |= {pid}
            text = f"{self._may_not([pid])}; waiting for it to exit"
            self.reporter.notice("may_not_signal", text, "warning", {"pids": [pid]})

    def error(self, left: Collection[int]) -> ForceKillTimeout:
        """Why these are still there, as an error."""
        refused = sorted(self._refused.intersection(left))
        hanging = sorted(set(left) - self._refused)
        reasons = [self._may_not(refused)] if refused else []
        reasons += [f"processes outlive SIGKILL: {_listed(hanging)}"] if hanging else []
        hints = [_ANOTHER_USER] if refused else []
        hints += [_IN_THE_KERNEL] if hanging else []

        return ForceKillTimeout("; ".join(reasons), hint="; ".join(hints), details={"pids": list(left)})

    def _may_not(self, pids: Collection[int]) -> str:
        users = _listed(sorted(self.processes.users(pids))) or "unknown"
        return f"hostler may not signal processes of another user ({users}): pid {_listed(pids)}"


def _listed(numbers: Collection[int]) -> str:
    return ", ".join(map(str, numbers))
