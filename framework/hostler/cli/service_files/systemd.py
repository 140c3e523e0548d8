"""The unit file of a service, and the commands of systemd."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path

from hostler.cli.service_files.definition import (
    MARKER,
    RESTART_SECONDS,
    START_SECONDS,
    STOP_SECONDS,
    UMASK,
    WATCHDOG_SECONDS,
    Service,
)
from hostler.cli.service_files.init_system import InitSystem

_PLAIN = re.compile(r"[A-Za-z0-9_./:=@,+-]+")

_FOR_ALL = """\
StateDirectory=hostler
CacheDirectory=hostler
Environment=XDG_STATE_HOME=/var/lib/hostler/state XDG_DATA_HOME=/var/lib/hostler/data \
XDG_CACHE_HOME=/var/cache/hostler
"""


class Systemd(InitSystem):
    """Units of systemd, of the system or of a user."""

    name = "systemd"
    may_repeat = True

    def path(self, service: Service, environ: Mapping[str, str]) -> Path:
        """Where the unit of a service is."""
        file = f"{service.name}.service"
        if not service.is_own:
            return Path("/etc/systemd/system", file)
        named = Path(environ.get("XDG_CONFIG_HOME", ""))
        home = named if named.is_absolute() else Path.home() / ".config"
        return home / "systemd" / "user" / file

    def text(self, service: Service) -> str:
        """The unit of a service."""
        return f"# {MARKER}\n" + unit(
            service,
            description=f"Servers of {service.configuration.replace('%', '%%')}, supervised by hostler",
            command=_command(service.words),
            variables=[f"{name}={_literal(value)}" for name, value in service.variables],
        )

    def belongs(self, text: str, service: Service) -> bool:
        """Whether a unit is of the same configuration."""
        words = f" run {_quoted(service.configuration)}"
        return f"{words} " in text or f"{words}\n" in text

    def without_options(self, text: str, service: Service) -> str:
        """A unit without the options of its command."""
        before, found, rest = text.partition(f" run {_quoted(service.configuration)}")
        return "".join([before, found, *rest.partition("\n")[1:]])

    def hand_over(self, service: Service) -> str:
        """By a drop-in, which stays when the unit is written anew."""
        command = " ".join(self._call(service, "edit", f"{service.name}.service"))
        return f"`{command}`, with EnvironmentFile=PATH below [Service]"

    def enable(self, service: Service, path: Path) -> Sequence[Sequence[str]]:
        """The commands that have it run, now and at each start."""
        return [self._call(service, "daemon-reload"), self._call(service, "enable", "--now", service.name)]

    def disable(self, service: Service) -> Sequence[str]:
        """The command that ends it, for good."""
        return self._call(service, "disable", "--now", f"{service.name}.service")

    def forget(self, service: Service) -> Sequence[Sequence[str]]:
        """The commands for when its file is removed."""
        return [self._call(service, "daemon-reload")]

    def restart(self, service: Service) -> Sequence[Sequence[str]]:
        """The commands that have it run as its file says by now."""
        return [self._call(service, "restart", service.name)]

    def ask(self, service: Service) -> Sequence[str]:
        """The command that says how it is."""
        return self._call(service, "is-active", f"{service.name}.service")

    def state(self, code: int, answer: str) -> str:
        """How it is, in a word; "" where systemd does not tell."""
        return answer.strip()

    def _call(self, service: Service, *words: str) -> Sequence[str]:
        return ["systemctl", *(["--user"] if service.is_own else []), *words]


def unit(service: Service, *, description: str, command: str, variables: Sequence[str]) -> str:
    """The unit with texts in which systemd would find no mistake."""
    head = "" if service.is_own else "Documentation=man:systemd.service(5)\nAfter=network.target\n"
    environment = "".join(f'Environment="{one}"\n' for one in variables)
    return f"""\
[Unit]
Description={description}
{head}StartLimitIntervalSec=0

[Service]
Type=notify
NotifyAccess=main
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
# hostler stops its servers itself, in order; what it cannot stop is left to systemd.
KillMode=mixed
TimeoutStartSec={START_SECONDS // 60}min
TimeoutStopSec={STOP_SECONDS}s
WatchdogSec={WATCHDOG_SECONDS}s
Restart=on-failure
RestartSec={RESTART_SECONDS}s
# resource-limits gives each server a control group of its own below this one.
Delegate=yes
{"" if service.is_own else _FOR_ALL}{environment}UMask={UMASK:04o}

[Install]
WantedBy={"default" if service.is_own else "multi-user"}.target
"""


def _command(words: Sequence[str]) -> str:
    """The words as systemd.service(5) has them; ":" switches the variables off where a word has a "$"."""
    # systemd itself starts no program with a quote or a backslash in its path.
    program = ["/usr/bin/env"] if set(words[0]) & set("\"'\\") else []
    text = " ".join(map(_quoted, [*program, *words]))
    return f":{text}" if "$" in text else text


def _quoted(word: str) -> str:
    return _literal(word) if _PLAIN.fullmatch(word) else f'"{_literal(word)}"'


def _literal(text: str) -> str:
    """The text without a meaning of its own: "%" begins a specifier, and "\\" an escape."""
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
