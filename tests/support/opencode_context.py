"""What tests of the opencode plugin run it with: a context with real commands, launches, a real child."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path

from hostler import (
    CommandResult,
    Directories,
    Endpoint,
    Launch,
    ServerSpec,
)
from hostler.launching import server_user as as_server
from hostler.process.context import SupervisorContext
from hostler.process.disk.run_record import RunStore
from hostler.process.output.capture import OutputReader
from hostler.runtime.command import CommandRunner
from hostler.runtime.reporter import Reporter
from hostler.testing import FakeServerContext

START_SECONDS = 90.0  # a busy machine with two cores


class Context(FakeServerContext):
    """A fake context whose folders, files and commands are real."""

    def __init__(self, root: Path, reader: OutputReader, *, name: str = "oc") -> None:
        super().__init__(
            name,
            ServerSpec(name=name),
            data_dir=root / "data",
            cache_dir=root / "cache",
            state_dir=root / "state",
        )
        self.root = root
        self.reader = reader
        self.launches: list[Launch] = []

        for folder in (self.data_dir, self.cache_dir, self.state_dir):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    @property
    def env(self) -> Mapping[str, str]:
        """The variables of the server's configuration."""
        return {name: value for name, value in self.spec.env.items() if isinstance(value, str)}

    @env.setter
    def env(self, env: Mapping[str, str]) -> None:
        self.spec = replace(self.spec, env=env)

    def noticed(self, topic: str) -> str:
        """The text of the notice with this topic; "" without one."""
        return next((notice.text for notice in self.notices if notice.topic == topic), "")

    async def run_command(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        sandboxed: bool = True,
    ) -> CommandResult:
        return await self.command_runner.run(argv, env or {}, timeout=timeout, cwd=cwd, sandboxed=sandboxed)

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
