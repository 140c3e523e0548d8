"""The property list of a service, and the commands of launchd."""

from __future__ import annotations

import os
import plistlib
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from xml.sax.saxutils import escape

from hostler.cli.service_files.definition import MARKER, RESTART_SECONDS, STOP_SECONDS, UMASK, Service
from hostler.cli.service_files.init_system import InitSystem

# launchd's own has no folder that anything is installed to.
_FOR_ALL = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_NOT_LOADED = 113
_STATE = re.compile(r"^\s*state = (.+)$", re.MULTILINE)


class Launchd(InitSystem):
    """Agents of a user, and daemons for all."""

    name = "launchd"
    may_repeat = False

    def path(self, service: Service, environ: Mapping[str, str]) -> Path:
        """Where the property list of a service is."""
        folder = "LaunchAgents" if service.is_own else "LaunchDaemons"
        return _library(service) / folder / f"{service.name}.plist"

    def text(self, service: Service) -> str:
        """The property list of a service."""
        log = str(_library(service) / "Logs" / f"{service.name}.log")
        # There is no journal, and nobody rotates this file: the servers have logs of their own.
        words = [*service.words, "--output", "none"]
        content = {
            "Label": service.name,
            "ProgramArguments": words,
            "RunAtLoad": True,
            "KeepAlive": {"SuccessfulExit": False},
            "ThrottleInterval": RESTART_SECONDS,
            "ExitTimeOut": STOP_SECONDS,
            "Umask": UMASK,
            "EnvironmentVariables": {"PATH": _FOR_ALL} | dict(service.variables),
            "StandardOutPath": log,
            "StandardErrorPath": log,
        }
        text = plistlib.dumps(content, sort_keys=False).decode()
        return text.replace("<dict>\n", f"<!-- {MARKER} -->\n<dict>\n", 1)

    def belongs(self, text: str, service: Service) -> bool:
        """Whether a property list is of the same configuration."""
        try:
            return service.configuration in plistlib.loads(text.encode())["ProgramArguments"]
        except (ValueError, KeyError, TypeError, plistlib.InvalidFileException):
            return False

    def without_options(self, text: str, service: Service) -> str:
        """A property list without the options of its command."""
        before, found, rest = text.partition(f"<string>{escape(service.configuration)}</string>")
        return "".join([before, found, *rest.partition("</array>")[1:]])

    def hand_over(self, service: Service) -> str:
        """Nobody does: the property list is written anew."""
        return "give it a default: ${NAME:-VALUE}"

    def enable(self, service: Service, path: Path) -> Sequence[Sequence[str]]:
        """The commands that have it run, now and at each login or start."""
        return [["launchctl", "bootstrap", _domain(service), str(path)]]

    def disable(self, service: Service) -> Sequence[str]:
        """The command that ends it, for good."""
        return ["launchctl", "bootout", f"{_domain(service)}/{service.name}"]

    def forget(self, service: Service) -> Sequence[Sequence[str]]:
        """Nothing: launchd keeps no list of files."""
        return []

    def restart(self, service: Service) -> Sequence[Sequence[str]]:
        """The commands that have it run as its file says by now."""
        return [self.disable(service), *self.enable(service, self.path(service, os.environ))]

    def ask(self, service: Service) -> Sequence[str]:
        """The command that says how it is."""
        return ["launchctl", "print", f"{_domain(service)}/{service.name}"]

    def state(self, code: int, answer: str) -> str:
        """How it is, in systemd's words; "" where launchd does not tell."""
        if code == _NOT_LOADED:
            return "inactive"
        found = _STATE.search(answer)
        word = found[1].strip() if found and code == 0 else ""
        return {"running": "active"}.get(word, word)


def _domain(service: Service) -> str:
    return f"gui/{os.getuid()}" if service.is_own else "system"


def _library(service: Service) -> Path:
    return Path.home() / "Library" if service.is_own else Path("/Library")
