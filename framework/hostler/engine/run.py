"""One run of a server under one generation number: as it has begun, and as its launch is prepared."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AsyncExitStack
from functools import partial
from types import MappingProxyType

import anyio

from hostler.concurrency.mailbox import Mailbox
from hostler.concurrency.tasks import TaskSet
from hostler.engine.health import HealthWatch
from hostler.engine.run_events import RunEvent
from hostler.errors import ProcessSpawnFailed, ServerError
from hostler.events.crash import MemoryPoint, PluginNote
from hostler.hooks import ServerView
from hostler.launching.build import Given, build_launch, interpolator
from hostler.model.choices import OutputMode
from hostler.model.launch import Launch
from hostler.model.spec import ServerSpec
from hostler.model.values import Endpoint, StreamName
from hostler.plugins.host import PluginHost
from hostler.process.context import SupervisorContext
from hostler.process.disk.lock import NameLock
from hostler.process.spawn.environment import refuse_leaks, secrets_of
from hostler.process.spawn.exits import ExitStatus, Process
from hostler.runtime.cleanup import clean_up, clean_up_now
from hostler.runtime.command import CommandRunner
from hostler.runtime.line_broadcast import LineBroadcast
from hostler.runtime.plugin_tasks import run_beside
from hostler.runtime.reporter import Reporter
from hostler.runtime.run_recorder import Noted, RunRecorder
from hostler.secrets.credentials import masked_words

_PLUGIN_FAILURES, _MEMORY_POINTS = 50, 30


class Run:
    """A generation that has begun. Nothing here knows states; the server's life drives it.

    Its later forms, `PreparedRun` and `LiveRun`, go on with its inbox and its tasks. Whoever only looks at a
    run reads here what is not there yet; whoever drives one has the form that has it.
    """

    launch: Launch | None = None
    process: Process | None = None
    lines: LineBroadcast | None = None
    endpoint: Endpoint | None = None
    health: HealthWatch | None = None
    facts: Mapping[str, object] = MappingProxyType({})
    ready_at: float | None = None
    ended_at: float | None = None
    told_to_end = False

    def __init__(
        self, spec: ServerSpec, context: SupervisorContext, reporter: Reporter, generation: int
    ) -> None:
        self.spec, self.context, self.reporter, self.generation = spec, context, reporter, generation
        self.inbox: Mailbox[RunEvent] = Mailbox()
        self.background = TaskSet()
        self.opened = AsyncExitStack()
        self.cut_short = anyio.Event()
        self.memory: deque[MemoryPoint] = deque(maxlen=_MEMORY_POINTS)
        self.failures: deque[PluginNote] = deque(maxlen=_PLUGIN_FAILURES)

    @property
    def exit_status(self) -> ExitStatus | None:
        """How its main process ended; None while it lives, and without one."""
        return None

    @property
    def uptime(self) -> float:
        """Seconds from the spawn to now, or to the end."""
        return 0.0

    @property
    def ready_for(self) -> float:
        """Seconds from ready to now, or to the end."""
        return 0.0

    def warn(self, topic: str, text: str) -> None:
        """Tell of a trouble with it."""
        self.reporter.notice(topic, text, "warning")

    def start_soon(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run a plugin's function beside this run; its failure is told, and hurts nobody."""
        self.background.start(run_beside(function, self.reporter), "a plugin's background task")

    def follow_lines(self) -> None:
        """Have lines cut, if somebody needs them."""

    def command_runner(self) -> CommandRunner:
        """What runs commands for this run; ServerError before it is prepared."""
        raise ServerError("no command can be run for it before it is prepared")

    def members(self) -> list[int]:
        """The pids of the living tree."""
        return []

    def tails(self) -> tuple[str, str]:
        """The last lines of stdout and stderr, masked."""
        return "", ""

    async def close_health(self) -> None:
        """Close the health streams: before on_shutdown and before the first signal."""

    async def stop_tree(self, grace: float, tell: Callable[[int], None]) -> tuple[int, ...]:
        """Ask it to end, grace, SIGKILL; the pids still there. `tell` hears who may not be signalled."""
        del grace, tell
        return ()

    async def close(self) -> None:
        """Release everything: tasks, output, deferred clean-ups (last first), files, the record."""
        await self.background.close()
        await self.opened.aclose()

    def kill_now(self) -> bool:
        """SIGKILL the whole tree and clean up, without the loop: when the program ends under us.

        Deferred coroutines are not run. False when something outlives SIGKILL, and in a
        forked child, which owns none of it: it stays on record.
        """
        self.background.cancel()
        return not self.context.affinity.forked


class PreparedRun(Run):
    """A run whose launch is built, and edited by the plugins. Nothing is spawned."""

    launch: Launch

    def __init__(self, begun: Run, launch: Launch, recorder: RunRecorder) -> None:
        super().__init__(begun.spec, begun.context, begun.reporter, begun.generation)
        self.inbox, self.background, self.opened = begun.inbox, begun.background, begun.opened
        self.cut_short, self.memory, self.failures = begun.cut_short, begun.memory, begun.failures
        self.launch = launch
        self.recorder = recorder

    @classmethod
    def build(cls, begun: Run, lock: NameLock, given: Given) -> PreparedRun:
        """Build the launch; raises a ServerError when the configuration does not allow it."""
        recorder = RunRecorder(begun.context, begun.reporter, lock)
        learn, warn = begun.reporter.masker.register, partial(begun.warn, "secret_exposed")
        launch = build_launch(
            begun.spec, begun.context, generation=begun.generation, given=given, learn=learn, warn=warn
        )
        launch.temporary = Noted(recorder.note)
        return cls(begun, launch, recorder)

    async def edit(self, view: ServerView, plugins: PluginHost, given: Given) -> None:
        """Let the plugins edit the launch; raises a ServerError when it cannot be spawned."""
        self._learn_secrets()
        plugins.expand(interpolator(self.spec, given.port, given.others))

        try:
            await plugins.pre_spawn(view, self.launch, deadline=self.spec.prepare_timeout)
        finally:
            self._learn_secrets()

        if not self.launch.argv:
            raise ProcessSpawnFailed(
                "there is no command", hint="set command = [...], or use a launcher plugin", permanent=True
            )

        refuse_leaks(self.launch)

    def _learn_secrets(self) -> None:
        for value in secrets_of(self.launch):
            self.reporter.masker.register(value)

    @property
    def captured(self) -> tuple[StreamName, ...]:
        """The streams that come to us."""
        modes: dict[StreamName, OutputMode] = {"stdout": self.launch.stdout, "stderr": self.launch.stderr}
        return tuple(name for name, mode in modes.items() if mode is OutputMode.CAPTURE)

    def argv(self) -> tuple[str, ...]:
        """The command line, masked."""
        return tuple(self.reporter.masker.text(word) for word in masked_words(self.launch.argv))

    def command_runner(self) -> CommandRunner:
        """What runs commands for this run, outside of its tree."""
        return CommandRunner(self.context, self.reporter, self.launch, None)

    async def close(self) -> None:
        """Release everything, and forget the run: the record goes last, so that a kill leaves it."""
        self.recorder.unguard()
        self.context.exposure.note(self.launch, self.context.inputs())
        await super().close()
        await clean_up(self.launch, self.context.store, partial(self.warn, "cleanup_failed"))
        self.recorder.end()

    def kill_now(self) -> bool:
        """Clean up without the loop; False in a forked child."""
        if not super().kill_now():
            return False
        self.recorder.unguard()
        clean_up_now(self.launch, self.context.store)
        self.recorder.end()
        return True
