"""Job control: the terminal is the companion command's while it runs, as a shell gives it to a job."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from contextlib import suppress
from typing import Any

_TERMINAL_SIGNALS = (signal.SIGTTIN, signal.SIGTTOU)
# Seconds until a signal to our own group has stopped us, if it does.
_PAUSE = 0.1


class JobControl:
    """Gives our terminal to a command, so that Ctrl-C and Ctrl-Z are for it, and takes it back.

    Without a terminal it does nothing. Its methods are called on the event loop's thread.
    """

    def __init__(self) -> None:
        self._terminal = _open_terminal()
        self._command = 0
        self._is_given = False

    @property
    def options(self) -> dict[str, Any]:
        """How the command is to be started: in a process group of its own, where there is a terminal."""
        return {"process_group": 0} if self._is_active else {}

    @property
    def _is_active(self) -> bool:
        # Other systems do not report that a child was stopped.
        return self._terminal is not None and sys.platform == "linux"

    def has_received(self, number: int) -> bool:
        """Whether the terminal has sent this signal to the command too, as it is of our process group."""
        return number == signal.SIGINT and not self._is_active and self._owner() == os.getpgrp()

    def give_terminal(self, command: int) -> None:
        """Put the command in front, if we are there."""
        if self._is_active:
            self._command = command
            # In the background we must still be able to write, and to take the terminal back.
            signal.signal(signal.SIGTTOU, signal.SIG_IGN)
            # Not by the loop, which would have Python complain of each signal that its socket cannot take.
            loop = asyncio.get_running_loop()
            signal.signal(signal.SIGCONT, lambda *_: loop.call_soon_threadsafe(self._resume))
            self._resume()

    def follow_stop(self) -> None:
        """Stop where the command was stopped (Ctrl-Z), as the shell's job that we are; go on with it."""
        if not self._command or sys.platform != "linux":
            return

        with suppress(ChildProcessError):
            stopped = os.waitid(os.P_PID, self._command, os.WSTOPPED | os.WNOHANG)
            if stopped is None:
                return
            if stopped.si_status in _TERMINAL_SIGNALS and self._owner() in (os.getpgrp(), self._command):
                self._resume()  # it was faster than we are
                return
            self._take_back()
            os.killpg(os.getpgrp(), signal.SIGTSTP)
            asyncio.get_running_loop().call_later(_PAUSE, self._resume)

    def take_back_terminal(self, code: int) -> None:
        """Be in front again: the command has ended. What Ctrl-C has ended with it ends our group as well."""
        was_given, self._command = self._is_given, 0
        self._take_back()
        if was_given and code == -signal.SIGINT:
            # A shell script that runs hostler must end by a Ctrl-C, as it would without hostler between.
            ours = signal.signal(signal.SIGINT, signal.SIG_IGN)
            os.killpg(os.getpgrp(), signal.SIGINT)
            signal.signal(signal.SIGINT, ours)

    def _resume(self) -> None:
        if self._command:
            if self._owner() == os.getpgrp():
                self._is_given = self._set_owner(self._command)
            with suppress(OSError):
                os.killpg(self._command, signal.SIGCONT)

    def _take_back(self) -> None:
        if self._is_given:
            self._set_owner(os.getpgrp())
            self._is_given = False

    def _owner(self) -> int | None:
        """The process group in front, None without a terminal."""
        with suppress(OSError):
            return None if self._terminal is None else os.tcgetpgrp(self._terminal)
        return None

    def _set_owner(self, group: int) -> bool:
        with suppress(OSError):
            if self._terminal is not None:
                os.tcsetpgrp(self._terminal, group)
                return True
        return False


def _open_terminal() -> int | None:
    with suppress(OSError):
        return os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
    return None


def has_terminal() -> bool:
    """Whether a terminal controls us. One that was there and is gone has hung up."""
    terminal = _open_terminal()
    if terminal is not None:
        os.close(terminal)
    return terminal is not None
