"""A run that has begun: one generation of a server, and what every later form of it has."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import replace
from enum import Enum
from types import MappingProxyType
from typing import TypeAlias

from hostler.concurrency.flag import Flag
from hostler.concurrency.mailbox import Mailbox
from hostler.concurrency.tasks import TaskSet
from hostler.errors import ServerError
from hostler.events.crash import MemoryPoint, PluginNote
from hostler.model.launch import Launch
from hostler.model.spec import ServerSpec
from hostler.model.values import Endpoint, Exit, ExitCause, Unhealthy
from hostler.process.context import SupervisorContext
from hostler.process.output.capture import Capture
from hostler.process.spawn.exits import ExitStatus, Process
from hostler.runtime.command import CommandRunner
from hostler.runtime.endpoint_discovery import EndpointConfirmed, EndpointDiscovery
from hostler.runtime.health import HealthChanged, HealthMonitor
from hostler.runtime.line_broadcast import LineBroadcast
from hostler.runtime.plugin_tasks import run_beside
from hostler.runtime.reporter import Reporter

_TAIL_LINES = 20


class RunSignal(Enum):
    """An event that needs no details."""

    COMMAND_RECEIVED = "somebody gave a command: look at what is desired"
    PROCESS_EXITED = "the spawned process is dead and reaped"


RunEvent: TypeAlias = RunSignal | EndpointConfirmed | HealthChanged | ServerError
"""What the watchers of a run post to its mailbox; after a ServerError it cannot go on."""


class Run:
    """One run of a server under one generation number. It knows no states; the server's lifecycle drives it.

    The engine's `PreparedRun` and `LiveRun` go on with its mailbox and its tasks. Whoever only looks at a run
    finds None here for what is not there yet; whoever drives one has the form that has it.
    """

    launch: Launch | None = None
    process: Process | None = None
    capture: Capture | None = None
    lines: LineBroadcast | None = None
    discovery: EndpointDiscovery | None = None
    endpoint: Endpoint | None = None
    health: HealthMonitor | None = None
    facts: Mapping[str, object] = MappingProxyType({})
    ready_at: float | None = None
    exited_at: float | None = None
    killed = False

    def __init__(
        self, spec: ServerSpec, context: SupervisorContext, reporter: Reporter, generation: int
    ) -> None:
        self.spec, self.context, self.reporter, self.generation = spec, context, reporter, generation
        self.mailbox: Mailbox[RunEvent] = Mailbox()
        self.tasks = TaskSet()
        self.opened: list[Callable[[], Awaitable[None]]] = []  # what closes it; an exit stack takes 1.4 KiB
        self.forced = Flag()
        # Whoever adds to them keeps the last ones only: a run may last for months.
        self.memory: list[MemoryPoint] = []
        self.plugin_failures: list[PluginNote] = []

    @property
    def exit_status(self) -> ExitStatus | None:
        """How its main process ended; None while it lives, and without one."""
        return None if self.process is None else self.process.exit_status

    @property
    def uptime(self) -> float:
        """Seconds from the spawn to now, or to the exit; 0 without a process."""
        return 0.0 if self.process is None else self._now - self.process.started

    @property
    def ready_for(self) -> float:
        """Seconds from ready to now, or to the exit."""
        return 0.0 if self.ready_at is None else self._now - self.ready_at

    @property
    def _now(self) -> float:
        return self.exited_at or self.context.clock()

    def members(self) -> list[int]:
        """The pids of the living process tree."""
        return [] if self.process is None else self.context.processes.members(self.process)

    def tails(self) -> tuple[str, str]:
        """The last lines of stdout and stderr, masked."""
        if self.capture is None:
            return "", ""
        masked = self.reporter.masker.text  # once more: a secret may have been found since
        stdout, stderr = (self.capture.tail(stream, _TAIL_LINES) for stream in ("stdout", "stderr"))
        return masked(stdout), masked(stderr)

    def exit(self, cause: ExitCause) -> Exit:
        """How it ended, as a value; complete when the tree is gone and the output drained."""
        status, (stdout, stderr) = self.exit_status or ExitStatus(), self.tails()
        return Exit(
            cause=cause,
            generation=self.generation,
            code=status.code,
            signal=status.signal,
            pid=None if self.process is None else self.process.pid,
            ready=self.ready_at is not None,
            killed=self.killed,
            uptime=self.uptime,
            stdout=stdout,
            stderr=stderr,
        )

    def explained(self, exit_: Exit, error: ServerError, unhealthy: Unhealthy | None) -> Exit:
        """The same with what it means, masked."""
        return replace(
            exit_,
            unhealthy=None if unhealthy is None else self.reporter.report(unhealthy),
            error=self.reporter.own(error, stdout=exit_.stdout, stderr=exit_.stderr),
        )

    def command_runner(self) -> CommandRunner:
        """Runs commands for this run, in its tree once it has one; ServerError before it is prepared."""
        if self.launch is None:
            raise ServerError("no command can run for it before it is prepared")
        run_id = None if self.process is None else self.process.run_id
        return CommandRunner(self.context, self.reporter, self.launch, run_id)

    def warn(self, topic: str, text: str) -> None:
        """Publish a warning about this run."""
        self.reporter.warn(topic, text)

    def start_soon(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run a plugin's function beside this run; its failure is reported, and ends nothing."""
        self.tasks.start(run_beside(function, self.reporter), "a plugin's background task")

    def update_lines(self) -> None:
        """Cut the output into lines while somebody follows them, and only then."""
        if self.lines is not None:
            self.lines.update()

    async def close_health(self) -> None:
        """Close the health streams: before on_shutdown and before the first signal."""
        for name in [] if self.health is None else await self.health.close():
            self.warn("health_not_closed", f"plugin {name} did not end its health check")

    async def close(self, *, last: bool = False) -> None:
        """Release everything: tasks, output, deferred clean-ups (last first), files, the record.

        Without `last` the file of the record stays for the run that follows.
        """
        await self.tasks.close()
        while self.opened:
            await self.opened.pop()()

    def kill_now(self) -> bool:
        """SIGKILL the whole tree and clean up, without the loop: when the program ends under us.

        Deferred coroutines are not run. False when something outlives SIGKILL, and in a
        forked child, which owns none of it: it stays on record.
        """
        self.tasks.cancel()
        return not self.context.affinity.forked
