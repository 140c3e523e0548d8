"""The children of the process that runs the tests."""

from __future__ import annotations

import os

import psutil


def has_children() -> bool:
    """Whether there is any child, zombies included; psutil reads every process of the system to say so."""
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def lives(pid: int) -> bool:
    """Whether a process is there and no zombie: init reaps orphans when it likes."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
