"""Processes that the fake server starts, and how it ends itself."""

from __future__ import annotations

import argparse
import os
import signal
import time
from typing import NoReturn

from hostler.testing.fake_server.output import say

_CHILD_SECONDS = 300.0


def spawn_children(options: argparse.Namespace) -> None:
    """Start what was asked for: in this group, in a session of its own, without a parent."""
    if options.spawn_child and os.fork() == 0:
        _sleep(options)

    if options.spawn_session_child and os.fork() == 0:
        os.setsid()
        _sleep(options)

    if options.double_fork_child:
        middle = os.fork()
        if middle == 0:
            os.setsid()
            if os.fork() == 0:
                _sleep(options)
            os._exit(0)
        os.waitpid(middle, 0)


def end(options: argparse.Namespace, default: int) -> NoReturn:
    """End by the signal or with the code that was asked for."""
    if options.exit_signal is not None:
        if options.exit_signal != signal.SIGKILL:
            signal.signal(options.exit_signal, signal.SIG_DFL)
        os.kill(os.getpid(), options.exit_signal)
        time.sleep(_CHILD_SECONDS)
    os._exit(default if options.exit_code is None else options.exit_code)


def _sleep(options: argparse.Namespace) -> NoReturn:
    if options.children_ignore_term:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    say(f"child {os.getpid()}")
    time.sleep(_CHILD_SECONDS)
    os._exit(0)
