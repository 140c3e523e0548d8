"""Whether a process is about to be gone although it is still there."""

from __future__ import annotations

import signal
import sys
from pathlib import Path

from hostler.process.tree.proc import folder

_SIGNALED = 0x400  # PF_SIGNALED of the kernel's include/linux/sched.h
_KILLED = 1 << (signal.SIGKILL - 1)


def is_dying(pid: int) -> bool:
    """Tell whether SIGKILL is on its way to a process, or has reached it; False where unknown.

    A large process takes milliseconds to die. Who killed it and asks at once whether the server may
    be used must not be sent to it.
    """
    if sys.platform != "linux":  # pragma: other-system
        return False

    try:
        path = Path(folder(pid))
        flags = int((path / "stat").read_bytes().rpartition(b")")[2].split()[6])
        status = (path / "status").read_bytes()
    except OSError:
        return True

    pending = [int(line.split()[1], 16) for line in status.splitlines() if line[:6] in {b"SigPnd", b"ShdPnd"}]
    return bool(flags & _SIGNALED) or any(mask & _KILLED for mask in pending)
