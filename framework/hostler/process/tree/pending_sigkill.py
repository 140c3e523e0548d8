"""Whether a process is about to be gone although it is still there."""

from __future__ import annotations

import signal
import sys

from hostler.process.tree.proc import folder, read_fields, read_stat

_SIGNALED = 0x400  # PF_SIGNALED of the kernel's include/linux/sched.h


def is_dying(pid: int) -> bool:
    """Tell whether SIGKILL is on its way to a process, or has reached it; False where unknown.

    A large process takes milliseconds to die. Who killed it and asks at once whether the server may
    be used must not be sent to it.
    """
    if sys.platform != "linux":  # pragma: other-system
        return False

    try:
        flags = int(read_stat(pid)[1][6])
        status = read_fields(f"{folder(pid)}/status")
    except OSError:
        return True

    pending = int(status[b"SigPnd"], 16) | int(status[b"ShdPnd"], 16)
    return bool(flags & _SIGNALED or pending >> (signal.SIGKILL - 1) & 1)
