"""The words that a configuration chooses from."""

from __future__ import annotations

import signal
from enum import Enum

from hostler.model.dataclass import dataclass


class InputMode(Enum):
    """What a child reads from: nothing, a pipe in which nothing ever comes, or what hostler itself reads."""

    NULL = "null"
    OPEN = "open"
    INHERIT = "inherit"


class OutputMode(Enum):
    """What becomes of one output stream of a child."""

    CAPTURE = "capture"
    INHERIT = "inherit"
    IGNORE = "ignore"


class Kind(Enum):
    """What is kept: a server, which goes on, or a task, which runs to completion."""

    SERVER = "server"
    TASK = "task"


class RestartMode(Enum):
    """When a server that exited unexpectedly is started again."""

    ON_FAILURE = "on-failure"
    ALWAYS = "always"
    NEVER = "never"


class IdentityCheck(Enum):
    """What is asked of the process that listens at the announced endpoint."""

    REQUIRE = "require"
    CHECK = "check"
    OFF = "off"


class HealthRule(Enum):
    """How many of its health plugins have to say that a server works."""

    ALL = "all"
    ANY = "any"


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
