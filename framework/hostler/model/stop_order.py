"""How a server is stopped: which signal asks it to end, and who of its tree gets one first."""

from __future__ import annotations

import signal
from dataclasses import dataclass
from enum import Enum


class StopMode(Enum):
    """Who is asked to end first: the main process, or all of its tree at once."""

    MAIN = "main"
    TREE = "tree"


class StopSignal(Enum):
    """The signal that asks a server to end."""

    TERM = "SIGTERM"
    INT = "SIGINT"
    QUIT = "SIGQUIT"
    HUP = "SIGHUP"
    USR1 = "SIGUSR1"
    USR2 = "SIGUSR2"
    WINCH = "SIGWINCH"

    @property
    def number(self) -> int:
        """The number that this system has for it."""
        return signal.Signals[self.value]


@dataclass(frozen=True, slots=True)
class StopOrder:
    """The options `stop` and `stop_signal` of one server."""

    mode: StopMode = StopMode.MAIN
    signal: StopSignal = StopSignal.TERM
