"""For acceptance: a home of its own, configurations in it, and the real command line run from it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any, TypeVar

import psutil
import tomli_w
from hostler import Configuration, Directories, Event, Supervisor, load
from servers import fake_server

QUICK: Mapping[str, Any] = {"initial_delay": "20ms", "max_delay": "50ms"}
_KEPT = ("PATH", "LANG", "LC_ALL")
T = TypeVar("T")


def five_plugins(**changed: object) -> dict[str, object]:
    """The bundled plugins together; underscores in the names of the changed ones stand for hyphens."""
    plugins: dict[str, object] = {
        "opencode": {},
        "regex-port": {},
        "sse-health": {"reconnect": "20ms", "max_reconnect": "50ms"},
        "log-rotation": {"path": "fake.log"},
        "env-sanitizer": {},
    }
    return plugins | {name.replace("_", "-"): options for name, options in changed.items()}


def eventually(condition: Callable[[], bool], timeout: float = 10) -> None:
    """Wait for what nothing tells of: the deeds of other processes."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


@dataclass
class Project:
    """One user: all that hostler and its servers write goes below `home`, and their processes show it."""

    home: Path
    environ: dict[str, str] = field(default_factory=dict)
    started: list[CommandLine] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.project.mkdir(parents=True)
        self.tmp.mkdir()
        kept = {n: v for n, v in os.environ.items() if n in _KEPT or n.startswith("COVERAGE")}
        own = {"HOME": str(self.home), "TMPDIR": str(self.tmp), "PWD": str(self.project)}
        xdg = {
            f"XDG_{name.upper()}_HOME": str(self.home / name) for name in ("state", "data", "cache", "config")
        }
        self.environ = kept | own | xdg

    @property
    def project(self) -> Path:
        return self.home / "project"

    @property
    def tmp(self) -> Path:
        return self.home / "tmp"

    @property
    def directories(self) -> Directories:
        return Directories.default(self.environ)

    def write(self, text: str, name: str = "hostler.toml") -> Path:
        path = self.project / name
        path.write_text(text)
        return path

    def configure(self, /, **servers: Mapping[str, object]) -> Path:
        """Write a configuration of these servers."""
        return self.write(tomli_w.dumps({"servers": servers}))

    def fake(
        self, *switches: str, plugins: Mapping[str, object] | None = None, name: str = "fake", **keys: object
    ) -> Path:
        """Write a configuration with one fake server, kept by the bundled plugins unless told otherwise."""
        return self.configure(**{name: self.fake_table(*switches, plugins=plugins, **keys)})

    def fake_table(
        self, *switches: str, plugins: Mapping[str, object] | None = None, **keys: object
    ) -> dict[str, object]:
        command = fake_server("--host", "${server.host}", "--port", "${server.port}", *switches)
        given = {"command": command, "restart": QUICK, **keys}
        return given | {"plugins": five_plugins() if plugins is None else plugins}

    def load(self, file: Path) -> Configuration:
        return load(file, environ=self.environ)

    def supervisor(self, file: Path, into: list[Event] | None = None) -> Supervisor:
        supervisor = Supervisor(self.load(file), directories=self.directories, environ=self.environ)
        if into is not None:
            supervisor.listen(into.append)
        return supervisor

    def hostler(self, *words: str | Path, **variables: str) -> CommandLine:
        """Start `hostler` in the project."""
        return self.start([sys.executable, "-m", "hostler.cli", *map(str, words)], **variables)

    def start(self, argv: list[str], **variables: str) -> CommandLine:
        """Start a program in the project."""
        command = CommandLine(argv, cwd=self.project, env=self.environ | variables)
        self.started.append(command)
        return command

    # -- what is left -------------------------------------------------------------------------

    def processes(self) -> dict[int, str]:
        """The living processes of this home, without those that the test itself started."""
        own = {os.getpid(), *(command.process.pid for command in self.started)}
        found = {}
        for process in psutil.process_iter():
            with suppress(psutil.Error):
                mine = process.environ().get("HOME") == str(self.home)
                if mine and process.pid not in own and process.status() != psutil.STATUS_ZOMBIE:
                    found[process.pid] = " ".join(process.cmdline())
        return found

    def records(self) -> list[str]:
        """Run records and their locks."""
        return [path.name for path in (self.directories.state / "runs").glob("*")]

    def what_is_left(self) -> dict[str, object]:
        """Processes, records and temporary files: all empty when nothing is."""
        return {
            "processes": self.processes(),
            "records": self.records(),
            "temporary": sorted(path.name for path in self.tmp.iterdir()),
        }

    def logged(self, name: str = "fake.log") -> str:
        """The server's log file."""
        (path,) = self.directories.data.rglob(name)
        return path.read_text()

    def written(self) -> Iterator[Path]:
        """Every file that hostler wrote (not its servers)."""
        for folder in (self.directories.state, self.directories.data, self.directories.cache):
            yield from (path for path in folder.rglob("*") if path.is_file())


@dataclass
class Freezer:
    """A control group (version 1): its frozen processes hang in the kernel, and outlive SIGKILL."""

    folder: Path

    def freeze(self, pid: int) -> None:
        (self.folder / "cgroup.procs").write_text(str(pid))
        (self.folder / "freezer.state").write_text("FROZEN")
        eventually(lambda: (self.folder / "freezer.state").read_text().strip() == "FROZEN")

    def thaw(self) -> None:
        (self.folder / "freezer.state").write_text("THAWED")


NOTHING: Mapping[str, object] = {"processes": {}, "records": [], "temporary": []}


class CommandLine:
    """A program that runs, with what it has printed so far. Every wait has a deadline."""

    def __init__(self, argv: list[str], *, cwd: Path, env: Mapping[str, str]) -> None:
        self.process = subprocess.Popen(
            argv,
            cwd=cwd,
            env=dict(env),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        self.out: list[str] = []
        self.err: list[str] = []
        self._changed = threading.Condition()
        self._seen = 0
        assert self.process.stdout is not None
        assert self.process.stderr is not None
        self._readers = [
            threading.Thread(target=self._read, args=(self.process.stdout, self.out)),
            threading.Thread(target=self._read, args=(self.process.stderr, self.err)),
        ]

        for reader in self._readers:
            reader.start()

    def _read(self, stream: IO[bytes], into: list[str]) -> None:
        with stream:
            for line in stream:
                with self._changed:
                    into.append(line.decode(errors="replace").rstrip("\n"))
                    self._changed.notify_all()

    @property
    def events(self) -> list[dict[str, Any]]:
        """What `--json` printed."""
        return [json.loads(line) for line in list(self.out)]

    def event(self, timeout: float = 20, **wanted: object) -> dict[str, Any]:
        """The next event (after the one returned last) with these values."""

        def look() -> dict[str, Any] | None:
            for number, line in enumerate(self.out[self._seen :], self._seen + 1):
                event: dict[str, Any] = json.loads(line)
                if all(event.get(key) == value for key, value in wanted.items()):
                    self._seen = number
                    return event
            return None

        return self._wait(look, timeout, f"no event {wanted}")

    def line(self, pattern: str, timeout: float = 20) -> str:
        """The first line, on either stream, in which the pattern is found."""

        def look() -> str | None:
            return next((line for line in [*self.out, *self.err] if re.search(pattern, line)), None)

        return self._wait(look, timeout, f"no line with {pattern!r}")

    def _wait(self, look: Callable[[], T | None], timeout: float, problem: str) -> T:
        deadline = time.monotonic() + timeout
        with self._changed:
            while (found := look()) is None:
                if not self._changed.wait(deadline - time.monotonic()):
                    raise AssertionError(
                        f"{problem} within {timeout} s; stdout: {self.out}; stderr: {self.err}"
                    )
        return found

    def signal(self, number: int) -> None:
        self.process.send_signal(number)

    def end(self, timeout: float = 20) -> int:
        """Wait for the end and all output; the exit code."""
        code = self.process.wait(timeout)
        for reader in self._readers:
            reader.join(timeout)
        return code

    def stop(self, number: int, timeout: float = 20) -> int:
        self.signal(number)
        return self.end(timeout)
