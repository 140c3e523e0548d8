"""The children of the process that runs the tests."""

from __future__ import annotations

import os


def has_children() -> bool:
    """Whether there is any child, zombies included; psutil reads every process of the system to say so."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False

    return True
