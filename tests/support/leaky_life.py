"""A run of hostler with a leaky server, and all that was written meanwhile."""

from __future__ import annotations

import base64
import json
import secrets
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from urllib.parse import quote

import click
import psutil
from cli_project import Project, five_plugins
from hostler.cli.commands import group

HERE = Path(__file__).parents[1] / "security"
ALLOWED = ["MY_TOKEN", "APP_SECRET", "PRIVATE_KEY", "SERVICE_CREDENTIALS", "DATABASE_URL"]
ELSEWHERE = ["HELD", "HANDED", "LISTED_TOKEN"]  # in a file, in a variable of another name, in an env_file
NAMES = [*ALLOWED, *ELSEWHERE, "OPENCODE_SERVER_PASSWORD"]
SHORTEST = 12  # characters of a secret that make a leak: so few could be found by trying


def lines_of(secret: str) -> Iterator[str]:
    yield from (line for line in secret.splitlines() if len(line) > SHORTEST and not line.startswith("-----"))


def traces(secret: str, user: str = "opencode") -> set[str]:
    """What of a secret must be nowhere: every piece of it that is long enough, in every spelling."""
    secret = secret.partition("://app:")[2].partition("@")[0] or secret  # of a URL only the password
    spelt = {secret, json.dumps(secret)[1:-1], repr(secret)[1:-1], quote(secret, safe="")}
    parts = {line for form in spelt for line in lines_of(form)}
    parts |= {base64.b64encode(f"{user}:{secret}".encode()).decode()}
    return {part[start : start + SHORTEST] for part in parts for start in range(len(part) - SHORTEST + 1)}


def planted() -> dict[str, str]:
    """Secrets of every kind that stands in environments and .env files; new ones for every test."""
    word = secrets.token_hex
    key = "\n".join(["-----BEGIN PRIVATE KEY-----", word(32), word(32), "-----END PRIVATE KEY-----", ""])
    return {
        "MY_TOKEN": word(20),
        "APP_SECRET": f"{word(8)}\"'\\{word(8)} # ${{}} %20 é{word(8)}",
        "PRIVATE_KEY": key,
        "SERVICE_CREDENTIALS": json.dumps({word(10): word(20)}, indent=1),
        "DATABASE_URL": f"postgres://app:{word(20)}@localhost/app",
        "HELD": f"{word(12)}/{word(12)}+=",
        "HANDED": word(20),
        "LISTED_TOKEN": word(20),
    }


class Life:
    """One run of hostler with a leaky server and a careless plugin, and all that was written meanwhile."""

    def __init__(self, world: Project, *options: str, seconds: float = 300.0, **leaky: object) -> None:
        self.world = world
        self.secrets = planted()
        self.withheld = secrets.token_hex(20)
        self.file = self._configure(seconds, leaky)
        self.variables = {name: self.secrets[name] for name in ALLOWED} | {"OTHER_TOKEN": self.withheld}
        self.variables["GIVEN"] = self.secrets["HANDED"]
        self.running = world.hostler("run", self.file, *options, **self.variables)
        self.texts: dict[str, str] = {}
        self.given: dict[str, str] = {}

    def _configure(self, seconds: float, leaky: dict[str, object]) -> Path:
        (self.world.project / "held").write_text(self.secrets["HELD"] + "\n")
        (self.world.project / "listed.env").write_text(f"LISTED_TOKEN={self.secrets['LISTED_TOKEN']}\n")
        plugins = five_plugins(
            env_sanitizer={"allow": ALLOWED}, sse_health={"reconnect": "20ms", "log_events": True}
        )
        plugins["leaky"] = {"use": f"{HERE / 'leaky_plugin.py'}:Leaky", "names": NAMES, **leaky}
        command = [sys.executable, "-I", "-S", str(HERE / "leaky_server.py"), "${server.port}", str(seconds)]
        fake = {
            "command": [*command, *NAMES],
            "env": {name: f"${{{name}}}" for name in ALLOWED if name != "APP_SECRET"}
            | {"APP_SECRET": self.secrets["APP_SECRET"].replace("$", "$$")}
            | {"HELD": {"secret": "file:held"}, "HANDED": {"secret": "env:GIVEN"}},
            "env_file": "listed.env",
            "restart": {"initial_delay": "20ms", "max_restarts": 1},
            "plugins": plugins,
        }
        return self.world.configure(fake=fake)

    def look(self, moment: str) -> None:
        """Take note of what stands in files and on command lines now."""
        for path in self.world.written():
            with suppress(FileNotFoundError):  # put in the place of another just now
                self.texts[f"{path} {moment}"] = path.read_text(errors="surrogateescape")

        for pid in [self.running.process.pid, *self.world.processes()]:
            try:
                process = psutil.Process(pid)
                self.texts[f"argv of {pid} {moment}"] = "\0".join(process.cmdline())
                environ = process.environ()
            except psutil.Error:
                continue
            if "OPENCODE_SERVER_PASSWORD" in environ:
                self.secrets["OPENCODE_SERVER_PASSWORD"] = environ["OPENCODE_SERVER_PASSWORD"]
                self.given = {name: environ[name] for name in ELSEWHERE if name in environ}
                assert self.withheld not in environ.values()

    def ask(self, *names: str) -> None:
        """Run these commands about it, or every other one."""
        names = names or tuple(set(group.list_commands(click.Context(group))) - {"run"})
        calls = [(name, str(self.file), *more) for name in names for more in ((), ("fake", "--json"))]
        calls += [("show", "--origin", str(self.file)), ("show", "--origin", str(self.file), "fake")]
        for first in range(0, len(calls), 4):  # all at once, none would end in its time
            some = calls[first : first + 4]
            asked = {call: self.world.hostler(*call, **self.variables) for call in some}
            for call, command in asked.items():
                command.end()
                self.texts[" ".join(call)] = "\n".join([*command.out, *command.err])

    def leaks(self) -> list[str]:
        """Where a trace of any secret stood first; a line that was there before is not searched again."""
        self.texts["stdout"] = "\n".join(self.running.out)
        self.texts["stderr"] = "\n".join(self.running.err)
        wanted = {
            name: traces(value) for name, value in {**self.secrets, "OTHER_TOKEN": self.withheld}.items()
        }
        found, seen = [], set[str]()
        for where, text in self.texts.items():
            lines = set(text.splitlines()) - seen
            seen |= lines
            pieces = {line[at : at + SHORTEST] for line in lines for at in range(len(line) - SHORTEST + 1)}
            found += [f"{name} in {where}: {hit}" for name, some in wanted.items() if (hit := some & pieces)]
        return found
