"""A mark that daemons keep: a soft limit that limits nobody, inherited by whatever a server starts.

Many a daemon clears or overwrites its environment, forks twice and has a session of its own, which leaves no
other trace. RLIMIT_RTTIME is the time in microseconds that a thread with a real-time policy may run without a
pause; the marks begin at 140,000 years. Linux only.
"""

from __future__ import annotations

import resource
import sys
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

from hostler.process.tree.proc import folder

_LEAST = 1 << 62
_IDS = (1 << 61) - 1  # a prime: ids in hexadecimal digits are spread over all of it
_NAME = "rttime"


def limit_mark(run_id: str) -> int:
    """The soft limit that marks a run."""
    return _LEAST + int.from_bytes(run_id.encode(), "big") % _IDS


def may_mark(limits: Collection[str] = ()) -> bool:
    """Whether marks can be set: not where somebody limits that time, as `limits` of a launch may.

    Some containers know no such limit, and refuse to set what is set.
    """
    if sys.platform != "linux" or _NAME in limits:
        return False

    try:
        soft, hard = own = resource.getrlimit(resource.RLIMIT_RTTIME)
        resource.setrlimit(resource.RLIMIT_RTTIME, own)
    except (OSError, ValueError):
        return False

    return hard == resource.RLIM_INFINITY and (soft == resource.RLIM_INFINITY or soft >= _LEAST)


def mark_process(pid: int, run_id: str) -> None:
    """Mark a child that was just spawned, and what it has started already.

    From outside, since a `prlimit` in front of the command would cost every start an exec. The tools that
    stand there take longer to begin it than this takes; where a busy machine lets them not, its children
    are marked.
    """
    with suppress(OSError, ValueError):
        hard = resource.prlimit(pid, resource.RLIMIT_RTTIME)[1]
        resource.prlimit(pid, resource.RLIMIT_RTTIME, (limit_mark(run_id), hard))

        for child in Path(folder(pid), "task", str(pid), "children").read_bytes().split():
            mark_process(int(child), run_id)


def read_mark(pid: int) -> int:
    """The mark of a process; 0 where it has none, or is gone."""
    if sys.platform != "linux":  # pragma: other-system
        return 0

    try:
        soft = resource.prlimit(pid, resource.RLIMIT_RTTIME)[0]
    except PermissionError:  # another user's: its folder tells everybody
        soft = _read_folder(pid)
    except OSError:
        return 0

    return soft if soft >= _LEAST else 0


def _read_folder(pid: int) -> int:
    with suppress(OSError, ValueError):
        for line in Path(folder(pid), "limits").read_bytes().splitlines():
            if line.startswith(b"Max realtime timeout"):
                return int(line.split()[3])

    return 0
