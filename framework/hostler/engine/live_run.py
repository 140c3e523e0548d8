"""A run that is spawned: its process, its output, the search for its endpoint, its health."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from hostler.engine.health import HealthWatch
from hostler.engine.run import PreparedRun
from hostler.engine.run_events import EndpointConfirmed, ProcessExited, RunFailed
from hostler.errors import ServerError
from hostler.model.choices import StopOrder
from hostler.model.values import Endpoint, Line, StreamName
from hostler.process.output.capture import Capture
from hostler.process.spawn.exits import ExitStatus, Process
from hostler.runtime.command import CommandRunner
from hostler.runtime.endpoint_discovery import Confirmed, EndpointDiscovery
from hostler.runtime.line_broadcast import LineBroadcast
from hostler.runtime.plugin_tasks import warm_up

_DRAIN_SECONDS = 1.0
_LAST_LINES = 3.0  # seconds more for followers to take the last lines of a process that ended by itself
_TAIL_LINES = 20


class LiveRun(PreparedRun):
    """A run that has a process, from its spawn until nothing of it is left.

    `parse_port` asks the plugins what a line announces. What has been opened when the spawn fails is
    closed with the prepared run.
    """

    process: Process
    lines: LineBroadcast

    def __init__(
        self,
        prepared: PreparedRun,
        parse_port: Callable[[str, StreamName], tuple[str, Endpoint] | None],
    ) -> None:
        super().__init__(prepared, prepared.launch, prepared.recorder)
        self.search: EndpointDiscovery | None = None
        self._parse_port = parse_port
        run_id = self.recorder.begin(self.argv(), self.launch.temporary, self.launch.cgroup)
        self._capture = self._open_capture()
        self.opened.push_async_callback(self._capture.close)
        self.lines = LineBroadcast(
            self._capture, self.reporter, self.launch.followers, self._hear, self._awaits_endpoint
        )
        self.opened.callback(self.lines.end)
        self.lines.look()  # before the spawn: a thread reads, and what it reads unfollowed is nobody's
        self.process = self._spawn(run_id)

    def _open_capture(self) -> Capture:
        launch = self.launch
        sinks, launch.sinks = launch.sinks, []  # from here on the capture closes them
        return self.context.output.open(
            generation=self.generation,
            masker=self.reporter.masker,
            sinks=sinks,
            on_trouble=self._trouble,
            streams=self.captured,
        )

    def _spawn(self, run_id: str) -> Process:
        processes, capture = self.context.processes, self._capture
        try:
            if self.spec.guard:
                processes.watchdog.add(run_id, self._trouble)
            stdout_fd, stderr_fd = capture.write_fd("stdout"), capture.write_fd("stderr")
            return processes.spawn(self.launch, run_id=run_id, stdout_fd=stdout_fd, stderr_fd=stderr_fd)
        finally:
            capture.close_write_fds()

    def register(self) -> None:
        """Put the process on record. A ServerError leaves a process that has to be stopped."""
        process = self.process
        watchdog = self.context.processes.watchdog
        watchdog.complete(process.run_id, process.pid, process.start_time, process.cgroup)
        self.recorder.complete(pid=process.pid, start_time=process.start_time)
        self.facts = MappingProxyType(dict(self.launch.facts))

    def _trouble(self, topic: str, text: str, details: Mapping[str, object]) -> None:
        level = "info" if topic == "sink_recovered" else "warning"
        self.reporter.notice(topic, text, level, details)

    # -- watching -----------------------------------------------------------------------------

    def watch(self, announced: bool) -> None:
        """Watch for the exit and, where the server has a port, for its endpoint."""
        self.background.start(self._watch_exit(), "exit watch")

        for function in self.launch.warm_ups:
            self.background.start(warm_up(function, self.reporter), "warm-up")

        if self.launch.port is None:
            return

        place = Endpoint(self.launch.host, self.launch.port, self.spec.scheme)
        places = (place, None) if announced else (None, place)
        given = (self.spec, self.process, self.context.processes, self.launch.names_port)
        self.search = EndpointDiscovery(*given, *places)
        self.background.start(self._find_endpoint(self.search), "endpoint search")

    async def _watch_exit(self) -> None:
        await self.process.wait()
        self.ended_at = self.context.clock()
        self.inbox.post(ProcessExited())

    async def _find_endpoint(self, search: EndpointDiscovery) -> None:
        try:
            self.inbox.post(EndpointConfirmed(await search.run()))
        except ServerError as error:
            self.inbox.post(RunFailed(error))
        except Exception as error:  # noqa: BLE001 - without a word nobody would know why it is never ready
            self.inbox.post(RunFailed(ServerError(f"its endpoint could not be looked for: {error!r}")))

    def _hear(self, line: Line) -> None:
        """Take one line of output: it may announce the endpoint."""
        if self.search is not None and self.endpoint is None:
            self.search.heard()
            answer = self._parse_port(line.text, line.stream)
            if answer is not None:
                self.search.offer(answer[1], answer[0])

    def _awaits_endpoint(self) -> bool:
        return self.launch.port is not None and self.endpoint is None

    def follow_lines(self) -> None:
        """Have lines cut, if somebody needs them."""
        self.lines.look()

    def command_runner(self) -> CommandRunner:
        """What runs commands for this run, as a part of its tree."""
        return CommandRunner(self.context, self.reporter, self.launch, self.process.run_id)

    def confirm(self, confirmed: Confirmed) -> None:
        """Take the endpoint as found and put it on record."""
        self.endpoint = confirmed.endpoint
        try:
            self.recorder.complete(url=confirmed.endpoint.url)
        except ServerError as error:  # the record without the URL is enough to clean up behind us
            self.warn("record_unusable", str(error))
        self.follow_lines()

    def watch_health(self, health: HealthWatch) -> None:
        """Start the health plugins."""
        self.health = health
        health.start()

    def note_ready(self) -> None:
        """It may be used from now on."""
        self.ready_at = self.context.clock()

    def members(self) -> list[int]:
        """The pids of the living tree."""
        return self.context.processes.members(self.process)

    # -- ending -------------------------------------------------------------------------------

    @property
    def exit_status(self) -> ExitStatus | None:
        """How its main process ended; None while it lives."""
        return self.process.exit_status

    @property
    def uptime(self) -> float:
        """Seconds from the spawn to now, or to the end."""
        return (self.ended_at or self.context.clock()) - self.process.started

    @property
    def ready_for(self) -> float:
        """Seconds from ready to now, or to the end."""
        return 0.0 if self.ready_at is None else (self.ended_at or self.context.clock()) - self.ready_at

    def tails(self) -> tuple[str, str]:
        """The last lines of stdout and stderr, masked."""
        masked = self.reporter.masker.text  # once more: a secret may have been found since
        stdout, stderr = (self._capture.tail(stream, _TAIL_LINES) for stream in ("stdout", "stderr"))
        return masked(stdout), masked(stderr)

    async def close_health(self) -> None:
        """Close the health streams: before on_shutdown and before the first signal."""
        late = [] if self.health is None else await self.health.close()
        for name in late:
            self.warn("health_not_closed", f"plugin {name} did not end its health check")

    async def stop_tree(self, grace: float, tell: Callable[[int], None]) -> tuple[int, ...]:
        """Ask it to end, grace, SIGKILL; the pids still there. `tell` hears who may not be signalled."""
        if self.context.affinity.forked:
            return ()

        self.told_to_end = self.told_to_end or self.process.alive()
        order = StopOrder(self.spec.stop, self.spec.stop_signal)
        stop = self.context.processes.stop
        left = await stop(self.process, grace=grace, order=order, cut_short=self.cut_short, on_refused=tell)
        if not left:
            await self._capture.drained(_DRAIN_SECONDS, 0.0 if self.told_to_end else _LAST_LINES)

        return left

    def kill_now(self) -> bool:
        """SIGKILL the whole tree and clean up without the loop; False when something outlives that."""
        self.background.cancel()
        if self.health is not None:
            self.health.cancel()
        if not self.context.affinity.forked and self.context.processes.kill_now(self.process):
            return False
        return super().kill_now()
