"""Commands that are run for a server, as the server itself; each has a time limit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import anyio
from msgspec import Struct

from hostler.launching import server_user as as_server
from hostler.launching.server_user import command_for, confined
from hostler.model.launch import Launch
from hostler.model.values import CommandResult
from hostler.process.context import SupervisorContext
from hostler.process.output.capture import Capture
from hostler.process.spawn.environment import MARKER
from hostler.process.spawn.exits import ExitStatus, Process
from hostler.runtime.reporter import Reporter
from hostler.runtime.unkillable import Unstoppable
from hostler.secrets.masking import Masker

_DRAIN_SECONDS = 0.5
_FILE_SECONDS = 20.0  # for what takes milliseconds, on a busy machine


class CommandRunner(Struct, frozen=True):
    """Runs commands for one run. With its `run_id` they count as a part of the server's process tree."""

    context: SupervisorContext
    reporter: Reporter
    launch: Launch
    run_id: str | None

    async def run(
        self,
        argv: Sequence[str],
        env: Mapping[str, str],
        *,
        timeout: float,
        cwd: Path | None = None,
        sandboxed: bool = True,
        masked: bool = True,
    ) -> CommandResult:
        """Run a command as the server is run; nothing of it is left afterwards.

        Raises a ServerError when it cannot be started, OSError when descriptors have run out.
        """
        launch = command_for(self.launch, list(argv), dict(env), cwd)
        launch = await confined(launch, self.launch) if sandboxed else launch
        # The mark of a hostler around this one stays beside ours, so that it counts the command too.
        marks = [mark for mark in (self.launch.host_env.get(MARKER), self.run_id) if mark]
        launch = replace(launch, host_env={MARKER: ":".join(marks)} if marks else {})
        masker = self.reporter.masker if masked else Masker()
        capture = self.context.output.open(
            generation=launch.generation, masker=masker, sinks=(), on_trouble=_nothing
        )
        try:
            process = self._spawn(capture, launch)
            status = await self._until_end(process, timeout)
            await capture.drained(_DRAIN_SECONDS)
            return CommandResult(status.code, status.signal, capture.tail("stdout"), capture.tail("stderr"))
        finally:
            await capture.close()

    async def run_unmasked(self, argv: list[str], env: dict[str, str]) -> CommandResult:
        """Run a tool of the system whose output is read as it is: the text of a file, say."""
        return await self.run(argv, env, timeout=_FILE_SECONDS, cwd=Path("/"), masked=False)

    def _spawn(self, capture: Capture, launch: Launch) -> Process:
        try:
            return self.context.processes.spawn(
                launch,
                run_id=uuid4().hex,
                stdout_fd=capture.write_fd("stdout"),
                stderr_fd=capture.write_fd("stderr"),
            )
        finally:
            capture.close_write_fds()

    async def _until_end(self, process: Process, timeout: float) -> ExitStatus:
        """Wait for the exit, then stop all that it started; also when this is cancelled."""
        status, unstoppable = ExitStatus(), Unstoppable(self.context.processes, self.reporter)
        try:
            with anyio.move_on_after(timeout):
                status = await process.wait()
            left = await self.context.processes.stop(process, grace=0, on_refused=unstoppable.refuse)
        except BaseException:
            self.context.processes.kill_now(process)
            raise

        if left:
            text = f"a command left processes: {unstoppable.error(left).message}"
            self.reporter.notice("command_left", text, "warning")

        return status


def _nothing(topic: str, text: str, details: Mapping[str, object]) -> None:
    """Ignore trouble with sinks: there are none."""


class AsServer(ABC):
    """Runs commands and reads files for plugins as the server would: its user, its rights, its sandbox."""

    @abstractmethod
    def command_env(self) -> dict[str, str]:
        """The environment for a command that is run for this server."""

    @abstractmethod
    def _command_runner(self) -> CommandRunner:
        """Run commands for the present run; ServerError without one."""

    async def run_command(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        sandboxed: bool = True,
    ) -> CommandResult:
        """Run a command as this server is run: as its user, in its sandbox, for at most `timeout` seconds.

        `env` is its whole environment, `command_env()` by default; `cwd` is where it works, the server's
        own folder by default. `sandboxed = False` is for programs of the system that nobody can change.
        Whatever it started is ended with it. Raises ProcessSpawnFailed (or another ServerError) when it
        cannot be started.
        """
        env = self.command_env() if env is None else env
        return await self._command_runner().run(argv, env, timeout=timeout, cwd=cwd, sandboxed=sandboxed)

    async def read_file(self, path: Path) -> str:
        """The text of a plain file of at most 64 KiB, read as this server could: as its user, in its sandbox.

        OSError as the server itself would get it.
        """
        return await as_server.read_text(self._command_runner().run_unmasked, path)

    async def create_file(self, path: Path, text: str) -> bool:
        """Make a file (0600) and the folders above it (0700) as this server could, whole or not at all.

        False where one is there that is not empty. OSError as the server itself would get it.
        """
        return await as_server.create(self._command_runner().run_unmasked, path, text)

    async def remove_file(self, path: Path) -> None:
        """Remove a file as this server could, if it is there. OSError as the server itself would get it."""
        await as_server.remove(self._command_runner().run_unmasked, path)
