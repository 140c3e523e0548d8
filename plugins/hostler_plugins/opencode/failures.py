"""Explains why OpenCode exited, by the error messages of all its versions."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable
from dataclasses import dataclass

from hostler import (
    Action,
    Advice,
    EnvironmentSetupFailed,
    Exit,
    InvalidConfiguration,
    PortInUse,
    ProcessSpawnFailed,
    ServerError,
)

from hostler_plugins.opencode.environment import disk_full

_ANSI = re.compile(r"\x1b\[[0-9;?]*[ -/]*[@-~]")
_PANIC_SIGNALS = {4, 5, 6, 11}
_SHOWN = 1500


@dataclass(frozen=True, slots=True)
class _Sign:
    """A pattern in the output, and what follows from it."""

    pattern: re.Pattern[str]
    action: Action
    error: Callable[[str], ServerError]


def advise(exit_: Exit, host: str, port: int | None) -> Advice | None:
    """Advice after a crash; None where its last words say nothing that the engine does not know."""
    text = _ANSI.sub("", f"{exit_.stderr}\n{exit_.stdout}")
    # A panic of Bun, whatever else was printed: there is nothing to correct, and a later try may work.
    if exit_.signal in _PANIC_SIGNALS and "Bun" in text:
        return Advice(Action.BACK_OFF)
    if exit_.ready:  # from here on the words could be those of a tool that it ran
        return None

    for sign in _SIGNS:
        if sign.pattern.search(text):
            return Advice(sign.action, sign.error(text.strip()[-_SHOWN:]))

    # A taken port is only a "ServeError" from 1.17 on, and before that some versions name just their log.
    if exit_.code not in {0, None} and _UNTOLD.search(text) and port is not None and _is_taken(host, port):
        return Advice(Action.BACK_OFF, _port_in_use(text))

    return None


def _is_taken(host: str, port: int) -> bool:
    """Whether somebody else listens there, now that the server is dead."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        # Without it, connections in TIME_WAIT would look like a listener.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return True
    return False


def _port_in_use(text: str) -> ServerError:
    found = re.search(r"port (\d+)", text)
    which = f"port {found[1]}" if found else "its port"
    return PortInUse(
        f"OpenCode could not listen: {which} is in use",
        hint="stop what listens there, or set port = 0 for a free one",
    )


def _configuration(text: str) -> ServerError:
    return InvalidConfiguration(
        f"OpenCode does not accept its configuration:\n{text}",
        hint="correct opencode.json (in the project, or in ~/.config/opencode), then start again",
    )


def _not_writable(text: str) -> ServerError:
    found = re.search(r"(?:EACCES|EPERM|EROFS)[^\n]*", text)
    return EnvironmentSetupFailed(
        f"OpenCode cannot write where it must: {found[0] if found else text}",
        hint="give the user permission, or set HOME or the XDG variables in env to writable folders",
        permanent=True,
    )


def _no_directory(_text: str) -> ServerError:
    return ProcessSpawnFailed(
        "OpenCode's working directory was deleted", hint="create it again, or correct cwd", permanent=True
    )


def _no_module(text: str) -> ServerError:
    found = re.search(r"(?:Cannot find (?:module|package)|Could not resolve|Module not found)[^\n]*", text)
    return ProcessSpawnFailed(
        f"OpenCode's sources cannot be run: {found[0] if found else text}",
        hint="run `bun install` in the checkout, and see that it is complete",
        permanent=True,
    )


def _bad_arguments(text: str) -> ServerError:
    found = re.search(r"(?:Unrecognized|Unknown)[^\n]*", text)
    said = f": {found[0]}" if found else ", and printed its help instead"
    return ProcessSpawnFailed(
        f"OpenCode does not know an argument that it was given{said}",
        hint='correct command, or opencode = { serve = [...] }; "opencode serve --help" shows what it takes',
        permanent=True,
    )


def _full(_text: str) -> ServerError:
    return disk_full("OpenCode stopped because the disk is full")


def _two_versions(_text: str) -> ServerError:
    return EnvironmentSetupFailed(
        "OpenCode could not set up its database; another one may be starting in the same data directory",
        hint="give each server an XDG_DATA_HOME of its own in env, or wait until the other one is ready",
    )


def _sign(pattern: str, action: Action, error: Callable[[str], ServerError]) -> _Sign:
    return _Sign(re.compile(pattern, re.IGNORECASE), action, error)


_UNTOLD = re.compile(r"ServeError|Unexpected error|check log file", re.IGNORECASE)
_SIGNS = (
    _sign(
        r"is port \d+ in use|failed to start server on port|EADDRINUSE|address already in use",
        Action.BACK_OFF,
        _port_in_use,
    ),
    _sign(r"ENOSPC|database or disk is full|no space left on device", Action.BACK_OFF, _full),
    _sign(r"\b(?:EACCES|EPERM|EROFS)\b[^\n]*\b(?:mkdir|open|access|unlink)\b", Action.GIVE_UP, _not_writable),
    _sign(r"working directory was deleted", Action.GIVE_UP, _no_directory),
    _sign(
        r"config file at .* is (?:invalid|not valid)|Config(?:uration)?(?:Invalid|Json)\w*Error|"
        r"configuration is invalid|invalid (?:json|configuration) in",
        Action.GIVE_UP,
        _configuration,
    ),
    _sign(r"Failed query: CREATE|database is locked", Action.BACK_OFF, _two_versions),
    _sign(r"Cannot find (?:module|package)|Could not resolve:|Module not found", Action.GIVE_UP, _no_module),
    _sign(
        r"Unrecognized (?:flag|option)|Unknown (?:argument|option)|--hostname +hostname to listen on",
        Action.GIVE_UP,
        _bad_arguments,
    ),
)
