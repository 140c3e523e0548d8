"""Errands: small programs that are run for a server, and never outlive their time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import uuid4

import anyio

from hostler.command_result import CommandResult
from hostler.environment import MARKER
from hostler.launch import Launch
from hostler.process.exits import ExitStatus, Process
from hostler.process.output import Capture
from hostler.surroundings import Surroundings
from hostler.voice import Voice

_DRAIN_SECONDS = 0.5


@dataclass(frozen=True, slots=True)
class Errand:
    """What commands for one run need to know. With its `run_id` they count as part of the server's tree."""

    around: Surroundings
    voice: Voice
    launch: Launch
    run_id: str | None

    async def run(self, argv: Sequence[str], env: Mapping[str, str], timeout: float) -> CommandResult:
        """Run a command where the server works, as its user; nothing of it is left afterwards.

        Raises a ServerError when it cannot be started, OSError when descriptors have run out.
        """
        capture = self.around.pump.open(
            generation=self.launch.generation, masker=self.voice.masker, sinks=(), on_trouble=_nothing
        )

        try:
            process = self._spawn(capture, argv, env)
            status = await self._until_end(process, timeout)
            await capture.drained(_DRAIN_SECONDS)
            return CommandResult(status.code, status.signal, capture.tail("stdout"), capture.tail("stderr"))
        finally:
            await capture.close()

    def _spawn(self, capture: Capture, argv: Sequence[str], env: Mapping[str, str]) -> Process:
        server = self.launch
        marks = [mark for mark in (server.host_env.get(MARKER), self.run_id) if mark]
        launch = Launch(
            server=server.server,
            generation=server.generation,
            argv=list(argv),
            cwd=server.cwd,
            env=dict(env),
            host=server.host,
            port=server.port,
            data_dir=server.data_dir,
            cache_dir=server.cache_dir,
            host_env={MARKER: ":".join(marks)} if marks else {},
            user=server.user,
            group=server.group,
            groups=server.groups,
            umask=server.umask,
            capabilities=server.capabilities,
            no_new_privileges=server.no_new_privileges,
        )

        try:
            return self.around.processes.spawn(
                launch,
                run_id=uuid4().hex,
                stdout_fd=capture.write_fd("stdout"),
                stderr_fd=capture.write_fd("stderr"),
            )
        finally:
            capture.close_write_fds()

    async def _until_end(self, process: Process, timeout: float) -> ExitStatus:
        """Wait, and stop all that it started: however it ended, and also when this is cancelled."""
        status = ExitStatus()

        try:
            with anyio.move_on_after(timeout):
                status = await process.wait()

            left = await self.around.processes.stop(process, grace=0)
        except BaseException:
            self.around.processes.kill_now(process)
            raise

        if left:
            pids = ", ".join(map(str, left))
            self.voice.notice("command_left", f"processes of a command outlive SIGKILL: {pids}", "warning")

        return status


def _nothing(topic: str, text: str, details: Mapping[str, object]) -> None:
    """Let trouble with sinks be: there are none."""
