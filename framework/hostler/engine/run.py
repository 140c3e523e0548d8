"""One run of a server: prepared, spawned, watched and cleaned up, under one generation number."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import anyio

from hostler.concurrency.mailbox import Mailbox
from hostler.concurrency.tasks import TaskSet
from hostler.engine.health import HealthWatch
from hostler.engine.run_events import EndpointConfirmed, ProcessExited, RunEvent, RunFailed
from hostler.errors import ProcessSpawnFailed, ServerError
from hostler.events.crash import MemoryPoint, PluginWord
from hostler.hooks import ServerView
from hostler.launching.build import Given, build_launch, filling
from hostler.model.choices import OutputMode, StopOrder
from hostler.model.launch import Launch
from hostler.model.spec import ServerSpec
from hostler.model.values import Endpoint, Line, StreamName
from hostler.plugins.host import PluginHost
from hostler.process.context import SupervisorContext
from hostler.process.disk.lock import NameLock
from hostler.process.output.capture import Capture
from hostler.process.spawn.environment import refuse_leaks, secrets_of
from hostler.process.spawn.exits import Process
from hostler.runtime.cleanup import clean_up, clean_up_now
from hostler.runtime.command import CommandRunner
from hostler.runtime.endpoint import Confirmed, EndpointDiscovery
from hostler.runtime.line_broadcast import LineBroadcast
from hostler.runtime.plugin_tasks import run_beside, warm_up
from hostler.runtime.reporter import Reporter
from hostler.runtime.run_record import Noted, RunRecorder
from hostler.secrets.credentials import masked_words

_DRAIN_SECONDS = 1.0
_LAST_LINES = 3.0  # seconds more for followers to take the last lines of a process that ended by itself
_TAIL_LINES = 20
_PLUGIN_FAILURES, _MEMORY_POINTS = 50, 30


@dataclass(slots=True)
class Run:
    """The means of one generation. Nothing here knows states; the server's life drives it."""

    spec: ServerSpec
    context: SupervisorContext
    reporter: Reporter
    generation: int
    inbox: Mailbox[RunEvent] = field(default_factory=Mailbox)
    background: TaskSet = field(default_factory=TaskSet)
    cut_short: anyio.Event = field(default_factory=anyio.Event)
    launch: Launch | None = None
    process: Process | None = None
    capture: Capture | None = None
    search: EndpointDiscovery | None = None
    endpoint: Endpoint | None = None
    health: HealthWatch | None = None
    facts: Mapping[str, object] = field(default_factory=dict)
    ready_at: float | None = None
    ended_at: float | None = None
    told_to_end: bool = False
    memory: deque[MemoryPoint] = field(default_factory=partial(deque, maxlen=_MEMORY_POINTS))
    failures: deque[PluginWord] = field(default_factory=partial(deque, maxlen=_PLUGIN_FAILURES))
    lines: LineBroadcast | None = None
    _recording: RunRecorder | None = None

    async def prepare(self, view: ServerView, plugins: PluginHost, lock: NameLock, given: Given) -> None:
        """Build the launch and let the plugins edit it; raises a ServerError when it cannot be spawned."""
        self._recording = RunRecorder(self.context, self.reporter, lock)
        learn, warn = self.reporter.masker.add, partial(self._warn, "secret_exposed")
        self.launch = launch = build_launch(
            self.spec, self.context, generation=self.generation, given=given, learn=learn, warn=warn
        )
        launch.temporary = Noted(self._recording.note)
        self._learn_secrets(launch)
        plugins.expand(filling(self.spec, given.port, given.others))

        try:
            await plugins.pre_spawn(view, launch, deadline=self.spec.prepare_timeout)
        finally:
            self._learn_secrets(launch)

        if not launch.argv:
            raise ProcessSpawnFailed(
                "there is no command", hint="set command = [...], or use a launcher plugin", permanent=True
            )

        refuse_leaks(launch)

    def _warn(self, topic: str, text: str) -> None:
        self.reporter.notice(topic, text, "warning")

    def _learn_secrets(self, launch: Launch) -> None:
        for value in secrets_of(launch):
            self.reporter.masker.add(value)

    def spawn(self, on_line: Callable[[Line], None]) -> None:
        """Start the prepared process. No await stands between the spawn and its registration here."""
        launch, recording = self.launch, self._recording
        assert launch is not None
        assert recording is not None
        run_id = recording.begin(self.argv(), launch.temporary, launch.cgroup)
        capture = self._open_capture(launch, on_line)

        try:
            if self.spec.guard:
                self.context.processes.watchdog.add(run_id, self._trouble)

            stdout_fd, stderr_fd = capture.write_fd("stdout"), capture.write_fd("stderr")
            self.process = process = self.context.processes.spawn(
                launch, run_id=run_id, stdout_fd=stdout_fd, stderr_fd=stderr_fd
            )
        finally:
            capture.close_write_fds()

        self.context.processes.watchdog.complete(run_id, process.pid, process.start_time, process.cgroup)
        recording.complete(pid=process.pid, start_time=process.start_time)
        self.facts = MappingProxyType(dict(launch.facts))

    def _open_capture(self, launch: Launch, on_line: Callable[[Line], None]) -> Capture:
        sinks, launch.sinks = launch.sinks, []  # from here on the capture closes them
        self.capture = self.context.output.open(
            generation=self.generation,
            masker=self.reporter.masker,
            sinks=sinks,
            on_trouble=self._trouble,
            streams=self.captured,
        )
        self.lines = LineBroadcast(
            self.capture, self.reporter, launch.followers, on_line, self._awaits_endpoint
        )
        self.lines.look()
        return self.capture

    @property
    def captured(self) -> tuple[StreamName, ...]:
        """The streams that come to us."""
        modes: dict[StreamName, OutputMode] = (
            {} if self.launch is None else {"stdout": self.launch.stdout, "stderr": self.launch.stderr}
        )
        return tuple(name for name, mode in modes.items() if mode is OutputMode.CAPTURE)

    def argv(self) -> tuple[str, ...]:
        """The command line, masked."""
        words = [] if self.launch is None else masked_words(self.launch.argv)
        return tuple(self.reporter.masker.text(word) for word in words)

    def _trouble(self, topic: str, text: str, details: Mapping[str, object]) -> None:
        level = "info" if topic == "sink_recovered" else "warning"
        self.reporter.notice(topic, text, level, details)

    # -- watching -----------------------------------------------------------------------------

    def watch(self, announced: bool) -> None:
        """Watch for the exit and, where the server has a port, for its endpoint."""
        assert self.process is not None
        assert self.launch is not None
        self.background.start(self._watch_exit(self.process), "exit watch")

        for function in self.launch.warm_ups:
            self.background.start(warm_up(function, self.reporter), "warm-up")

        if self.launch.port is None:
            return

        place = Endpoint(self.launch.host, self.launch.port, self.spec.scheme)
        places = (place, None) if announced else (None, place)
        given = (self.spec, self.process, self.context.processes, self.launch.names_port)
        self.search = EndpointDiscovery(*given, *places)
        self.background.start(self._find_endpoint(self.search), "endpoint search")

    async def _watch_exit(self, process: Process) -> None:
        await process.wait()
        self.ended_at = self.context.clock()
        self.inbox.post(ProcessExited())

    async def _find_endpoint(self, search: EndpointDiscovery) -> None:
        try:
            self.inbox.post(EndpointConfirmed(await search.run()))
        except ServerError as error:
            self.inbox.post(RunFailed(error))
        except Exception as error:  # noqa: BLE001 - without a word nobody would know why it is never ready
            self.inbox.post(RunFailed(ServerError(f"its endpoint could not be looked for: {error!r}")))

    def start_soon(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run a plugin's function beside this run; its failure is told, and hurts nobody."""
        self.background.start(run_beside(function, self.reporter), "a plugin's background task")

    def follow_lines(self) -> None:
        """Have lines cut, if somebody needs them."""
        if self.lines is not None:
            self.lines.look()

    def _awaits_endpoint(self) -> bool:
        return self.launch is not None and self.launch.port is not None and self.endpoint is None

    def command_runner(self) -> CommandRunner:
        """What runs commands for this run; ServerError before it is prepared."""
        if self.launch is None:
            raise ServerError("no command can be run for it before it is prepared")

        run_id = None if self.process is None else self.process.run_id
        return CommandRunner(self.context, self.reporter, self.launch, run_id)

    def confirm(self, confirmed: Confirmed) -> None:
        """Take the endpoint as found and put it on record."""
        self.endpoint = confirmed.endpoint

        assert self._recording is not None

        try:
            self._recording.complete(url=confirmed.endpoint.url)
        except ServerError as error:  # the record without the URL is enough to clean up behind us
            self.reporter.notice("record_unusable", str(error), "warning")

        self.follow_lines()

    def watch_health(self, health: HealthWatch) -> None:
        """Start the health plugins."""
        self.health = health
        health.start()

    def members(self) -> list[int]:
        """The pids of the living tree."""
        return [] if self.process is None else self.context.processes.members(self.process)

    # -- ending -------------------------------------------------------------------------------

    @property
    def uptime(self) -> float:
        """Seconds from the spawn to now, or to the end."""
        return 0.0 if self.process is None else (self.ended_at or self.context.clock()) - self.process.started

    @property
    def ready_for(self) -> float:
        """Seconds from ready to now, or to the end."""
        return 0.0 if self.ready_at is None else (self.ended_at or self.context.clock()) - self.ready_at

    def note_ready(self) -> None:
        """It may be used from now on."""
        self.ready_at = self.context.clock()

    async def close_health(self) -> None:
        """Close the health streams: before on_shutdown and before the first signal."""
        late = [] if self.health is None else await self.health.close()

        for name in late:
            self.reporter.notice(
                "health_not_closed", f"plugin {name} did not end its health check", "warning"
            )

    async def stop_tree(self, grace: float, tell: Callable[[int], None]) -> tuple[int, ...]:
        """Ask it to end, grace, SIGKILL; the pids still there. `tell` hears who may not be signalled."""
        if self.process is None or self.context.affinity.forked:
            return ()

        self.told_to_end = self.told_to_end or self.process.alive()
        order = StopOrder(self.spec.stop, self.spec.stop_signal)
        stop = self.context.processes.stop
        left = await stop(self.process, grace=grace, order=order, cut_short=self.cut_short, on_refused=tell)

        if self.capture is not None and not left:
            await self.capture.drained(_DRAIN_SECONDS, 0.0 if self.told_to_end else _LAST_LINES)

        return left

    def tails(self) -> tuple[str, str]:
        """The last lines of stdout and stderr, masked."""
        if self.capture is None:
            return "", ""

        masked = self.reporter.masker.text  # once more: a secret may have been found since
        stdout, stderr = (self.capture.tail(stream, _TAIL_LINES) for stream in ("stdout", "stderr"))
        return masked(stdout), masked(stderr)

    async def close(self) -> None:
        """Release everything: tasks, output, deferred clean-ups (last first), files, the record."""
        if self._recording is not None:
            self._recording.unguard()

        self.context.exposure.note(self.launch, self.context.inputs())
        await self.background.close()

        if self.lines is not None:
            self.lines.end()

        if self.capture is not None:
            await self.capture.close()

        if self.launch is not None:
            await clean_up(self.launch, self.context.store, partial(self._warn, "cleanup_failed"))

        if self._recording is not None:
            self._recording.end()

    def kill_now(self) -> bool:
        """SIGKILL the whole tree and clean up, without the loop: when the program ends under us.

        Deferred coroutines are not run. False when something outlives SIGKILL, and in a
        forked child, which owns none of it: it stays on record.
        """
        self.background.cancel()

        if self.health is not None:
            self.health.cancel()

        if self.context.affinity.forked or (self.process and self.context.processes.kill_now(self.process)):
            return False

        if self._recording is not None:
            self._recording.unguard()

        if self.launch is not None:
            clean_up_now(self.launch, self.context.store)

        if self._recording is not None:
            self._recording.end()

        return True
