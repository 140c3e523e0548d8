"""What the opencode plugin meets in its tests: a server that only remembers, launches, a real child."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path

from hostler import (
    Auth,
    CommandResult,
    Directories,
    Endpoint,
    Launch,
    Line,
    PluginSpec,
    ServerSpec,
    State,
    StreamEvent,
    StreamGap,
)
from hostler.launching import server_user as as_server
from hostler.process.context import SupervisorContext
from hostler.process.disk.run_record import RunStore
from hostler.process.output.capture import OutputReader
from hostler.runtime.command import CommandRunner, Order
from hostler.runtime.reporter import Reporter
from witness import Unasked

START_SECONDS = 90.0  # a busy machine with two cores


@dataclass(eq=False)
class Context(Unasked):
    """A server as plugins see it; it keeps what it is told."""

    root: Path
    reader: OutputReader
    env: Mapping[str, str] = field(default_factory=dict)
    plugins: tuple[PluginSpec, ...] = ()
    name: str = "oc"
    state: State = State.STARTING
    generation: int = 1
    pid: int | None = None
    endpoint: Endpoint | None = None
    facts: dict[str, object] = field(default_factory=dict)
    published: dict[str, tuple[str, bool]] = field(default_factory=dict)
    progresses: list[str] = field(default_factory=list)
    notices: dict[str, str] = field(default_factory=dict)
    beside: list[Callable[[], Awaitable[None]]] = field(default_factory=list)
    launches: list[Launch] = field(default_factory=list)

    def __post_init__(self) -> None:
        for folder in (self.data_dir, self.cache_dir, self.state_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def spec(self) -> ServerSpec:
        return ServerSpec(name=self.name, env=self.env, plugins=self.plugins)

    @property
    def url(self) -> str | None:
        return None if self.endpoint is None else self.endpoint.url

    @property
    def auth(self) -> Auth | None:
        auth = self.facts.get("auth")
        return auth if isinstance(auth, Auth) else None

    @property
    def data_dir(self) -> Path:
        return self.root / "data"

    @property
    def cache_dir(self) -> Path:
        return self.root / "cache"

    @property
    def state_dir(self) -> Path:
        return self.root / "state"

    def publish(self, name: str, value: str, *, secret: bool = False) -> None:
        self.published[name] = (value, secret)

    def redact(self, value: str) -> None:
        raise NotImplementedError

    def progress(self, text: str, fraction: float | None = None) -> None:
        self.progresses.append(text)

    def notice(self, topic: str, text: str, *, level: str = "info", **details: object) -> None:
        self.notices[topic] = text

    def lines(self, buffer: int = 4096) -> AsyncIterator[Line]:
        raise NotImplementedError

    def deliver(self, item: StreamEvent | StreamGap) -> None:
        raise NotImplementedError

    def start_soon(
        self,
        function: Callable[[], Awaitable[None]],
        *,
        over_restarts: bool = False,
        while_failed: str = "",
    ) -> None:
        self.beside.append(function)

    async def run_command(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        sandboxed: bool = True,
    ) -> CommandResult:
        return await self.command_runner.run(Order(argv, env or {}, timeout, cwd, sandboxed))

    async def read_file(self, path: Path) -> str:
        return await as_server.read_text(self.command_runner.run_unmasked, path)

    async def create_file(self, path: Path, text: str) -> bool:
        return await as_server.create(self.command_runner.run_unmasked, path, text)

    @property
    def command_runner(self) -> CommandRunner:
        """The real thing, for the launch that was made last."""
        directories = Directories(self.state_dir, self.data_dir, self.cache_dir)
        context = SupervisorContext(
            namespace="view",
            directories=directories,
            data_dir=self.data_dir,
            output=self.reader,
            store=RunStore(directories),
            host_env={},
        )
        return CommandRunner(context, Reporter(self.name, lambda _: None), self.launches[-1], None)


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def a_launch(view: Context, *argv: str, **env: str) -> Launch:
    """A launch as the engine hands it over, with home, project and PATH of its own under the root."""
    home, project = view.root / "home", view.root / "project"
    home.mkdir(exist_ok=True)
    project.mkdir(exist_ok=True)
    base = {"HOME": str(home), "PATH": f"{view.root / 'bin'}{os.pathsep}/proc/nowhere"}

    launch = Launch(
        server=view.name,
        generation=1,
        argv=list(argv),
        cwd=project,
        env=base | dict(view.env) | env,
        host="127.0.0.1",
        port=free_port(),
        data_dir=view.data_dir,
        cache_dir=view.cache_dir,
        host_env=dict(os.environ),
    )
    view.launches.append(launch)
    return launch


@contextmanager
def spawned(view: Context, launch: Launch) -> Iterator[subprocess.Popen[bytes]]:
    """The launched process, once it has announced that it listens; its session is killed at the end."""
    log = view.root / f"{view.name}.log"

    with log.open("wb") as output:
        process = subprocess.Popen(
            launch.argv,
            cwd=launch.cwd,
            env=launch.env,
            stdout=output,
            stderr=output,
            stdin=subprocess.DEVNULL,
            start_new_session=True,
        )

    try:
        _wait_for_announcement(process, log)
        assert launch.port is not None
        view.facts = dict(launch.facts)
        view.endpoint = Endpoint("127.0.0.1", launch.port)
        yield process
    finally:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

        process.wait()


def clean_up(launch: Launch) -> None:
    """What the engine does when a run ends; the private TMPDIR among others."""
    while launch.cleanups:
        launch.cleanups.pop()()

    while launch.temporary:
        with suppress(FileNotFoundError):  # one is noted before it is made
            shutil.rmtree(launch.temporary.pop())


def _wait_for_announcement(process: subprocess.Popen[bytes], log: Path) -> None:
    until = time.monotonic() + START_SECONDS

    while b"listening on http" not in log.read_bytes():
        text = log.read_text(errors="replace")
        assert process.poll() is None, f"ended with {process.returncode}: {text}"
        assert time.monotonic() < until, f"no announcement in {START_SECONDS} s: {text}"
        time.sleep(0.02)
