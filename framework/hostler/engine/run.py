"""A run whose launch is prepared, and a run that has a process: what one generation holds and releases."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from types import MappingProxyType

import anyio

from hostler.concurrency.flag import Flag
from hostler.errors import ProcessSpawnFailed, ServerError
from hostler.events.events import Spawned
from hostler.hooks import ServerView
from hostler.launching.build import Given, build_launch, interpolator
from hostler.model.choices import OutputMode, StopOrder
from hostler.model.launch import Launch
from hostler.model.values import Endpoint, Line, StreamName
from hostler.plugins.host import PluginHost
from hostler.process.disk.lock import NameLock
from hostler.process.output.capture import Capture
from hostler.process.spawn.environment import MARKER, refuse_leaks, secrets_of
from hostler.process.spawn.exits import Process
from hostler.runtime.base_run import Run, RunSignal
from hostler.runtime.cleanup import clean_up, clean_up_now
from hostler.runtime.endpoint_discovery import EndpointConfirmed, EndpointDiscovery
from hostler.runtime.health import HealthMonitor
from hostler.runtime.line_broadcast import LineBroadcast
from hostler.runtime.plugin_tasks import warm_up
from hostler.runtime.run_recorder import Noted, RunRecorder
from hostler.secrets.credentials import MASK, is_address, masked_words

_DRAIN_SECONDS = 1.0
_LAST_LINES = 3.0  # seconds more for followers to take the last lines of a process that exited by itself
_LONGEST_WARM_UP = 10.0  # one that hangs must not keep the server from ready for ever


class PreparedRun(Run):
    """A run whose launch is built, and edited by the plugins. Nothing is spawned."""

    launch: Launch

    def __init__(self, begun: Run, lock: NameLock, given: Given) -> None:
        """Build the launch; raises a ServerError when the configuration does not allow it."""
        vars(self).update(vars(begun))  # the same mailbox and tasks: plugins and commands hold on to them
        self.recorder = RunRecorder(self.context, self.reporter, lock)
        learn, warn = self.reporter.masker.register, partial(self.reporter.warn, "secret_exposed")
        self.launch = build_launch(
            self.spec,
            self.context,
            generation=self.generation,
            given=given,
            learn=learn,
            warn=warn,
            temporary=Noted(self.recorder.note),
        )

    async def edit(self, view: ServerView, plugins: PluginHost, given: Given) -> None:
        """Let the plugins edit the launch; raises a ServerError when it cannot be spawned."""
        self._learn_secrets()
        plugins.expand(interpolator(self.spec, given.port, given.others))

        try:
            await plugins.pre_spawn(view, self.launch, deadline=self.spec.prepare_timeout)
        finally:
            self._learn_secrets()  # also of a launch that failed: its error may quote one

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

    async def close(self, *, last: bool = False) -> None:
        """Release everything, and forget the run."""
        self.recorder.unguard()
        self.context.exposure.note(self.launch, self.context.inputs)
        await super().close(last=last)
        await clean_up(self.launch, self.context.store, partial(self.warn, "cleanup_failed"))
        self.recorder.end(last=last)  # a hostler that is killed before this leaves a record to clean up by

    def kill_now(self) -> bool:
        """Clean up without the loop; False in a forked child."""
        if not super().kill_now():
            return False
        self.recorder.unguard()
        clean_up_now(self.launch, self.context.store)
        self.recorder.end(last=True)
        return True


class LiveRun(PreparedRun):
    """A run that has a process, from its spawn until nothing of it is left.

    `parse_port` asks the plugins what a line announces; `returns` says that the server has been ready
    before. What has been opened when the spawn fails is closed with the prepared run.
    """

    process: Process
    capture: Capture
    lines: LineBroadcast

    def __init__(
        self,
        prepared: PreparedRun,
        parse_port: Callable[[str, StreamName], tuple[str, Endpoint] | None],
        *,
        returns: bool,
    ) -> None:
        vars(self).update(vars(prepared))
        self._parse_port = parse_port
        self._warmed_up = Flag()
        # On record before the spawn: whoever is killed in between leaves a trace of the process.
        run_id = self.recorder.begin(self.argv(), self.launch.temporary, self.launch.cgroup)
        self.capture = self._open_capture()
        self.lines = LineBroadcast(
            self.capture, self.reporter, self.launch.followers, self._take_line, self._awaits_endpoint
        )
        self.opened.append(self._close_output)
        self.update_lines()  # before the spawn: a thread reads, and what it reads unfollowed is lost
        self.process = self._spawn(run_id, returns=returns)

    def _open_capture(self) -> Capture:
        return self.context.output.open(
            generation=self.generation,
            masker=self.reporter.masker,
            sinks=self.launch.take_sinks(),  # from here on the capture closes them
            on_trouble=self.reporter.report_trouble,
            streams=self.captured,
            count=self.reporter.counting.output,
        )

    def _spawn(self, run_id: str, *, returns: bool) -> Process:
        processes, capture = self.context.processes, self.capture
        try:
            if not returns:  # else clients, for whom some are kept, could keep it from a restart
                processes.descriptors.require(self.launch.argv)
            if self.spec.guard:
                processes.watchdog.add(run_id, self.reporter.report_trouble)
            stdout_fd, stderr_fd = capture.write_fd("stdout"), capture.write_fd("stderr")
            return processes.spawn(self.launch, run_id=run_id, stdout_fd=stdout_fd, stderr_fd=stderr_fd)
        finally:
            capture.close_write_fds()  # while we hold one, the output of a dead tree never ends

    def register(self) -> None:
        """Put the process on record. A ServerError leaves a process that has to be stopped."""
        process = self.process
        watchdog = self.context.processes.watchdog
        watchdog.complete(process.run_id, process.pid, process.start_time, process.cgroup)
        self.recorder.complete(pid=process.pid, start_time=process.start_time)
        self.facts = MappingProxyType(dict(self.launch.facts))
        self.reporter.note_log(self.launch.log)

    def spawned(self) -> Spawned:
        """The event of the spawn: what was started, and who set each variable."""
        launch = self.launch
        env = {
            name: MASK if name in launch.secrets and not is_address(value) else value
            for name, value in launch.env.items()
        }
        return Spawned(
            **self.reporter.origin,
            pid=self.process.pid,
            argv=self.argv(),
            cwd=str(launch.cwd),
            env=_mapping(tuple(sorted(env.items()))),
            origins=_mapping(tuple(sorted((launch.origins | {MARKER: "hostler itself"}).items()))),
            removed=_mapping(tuple(sorted(launch.removed.items()))),
            log_file=launch.log_file,
        )

    async def _close_output(self) -> None:
        self.lines.end()
        del self.lines  # it holds this run, which would wait for the garbage collector
        await self.capture.close()

    # -- watching -----------------------------------------------------------------------------

    def watch(self, announced: bool) -> None:
        """Watch for the exit and, where the server has a port, for its endpoint."""
        self.process.notify(self._note_exit)  # no task, which a restart would wait for

        if self.launch.warm_ups:
            self.tasks.start(self._warm_up(), "warm-up")
        else:
            self._warmed_up.set()

        if self.launch.port is not None:
            place = Endpoint(self.launch.host, self.launch.port, self.spec.scheme)
            places = (place, None) if announced else (None, place)
            given = (self.spec, self.process, self.context.processes, self.launch.names_port)
            self.discovery = EndpointDiscovery(*given, *places)
            self.tasks.start(self._discover(self.discovery), "endpoint search")

    def _note_exit(self) -> None:
        if self.tasks.is_closed:  # by `kill_now`, beside which a loop in another thread must not clean up
            return
        self.exited_at = self.context.clock()
        self.mailbox.post(RunSignal.PROCESS_EXITED)

    async def _warm_up(self) -> None:
        async with anyio.create_task_group() as tasks:
            for function in self.launch.warm_ups:
                tasks.start_soon(warm_up, function, self.reporter)
        self._warmed_up.set()

    async def _discover(self, discovery: EndpointDiscovery) -> None:
        try:
            self.mailbox.post(await discovery.run())
        except ServerError as error:
            self.mailbox.post(error)
        except Exception as error:  # noqa: BLE001 - unreported, nobody would know why it is never ready
            self.mailbox.post(ServerError(f"its endpoint could not be looked for: {error!r}"))

    def _take_line(self, line: Line) -> None:
        """Offer the endpoint that a line of output announces."""
        if self.discovery is not None and self.endpoint is None:
            self.discovery.note_output()
            answer = self._parse_port(line.text, line.stream)
            if answer is not None:
                self.discovery.offer(answer[1], answer[0])

    def _awaits_endpoint(self) -> bool:
        return self.launch.port is not None and self.endpoint is None

    def confirm(self, confirmed: EndpointConfirmed) -> None:
        """Take the endpoint and put it on record."""
        self.endpoint = confirmed.endpoint
        try:
            self.recorder.complete(url=confirmed.endpoint.url)
        except ServerError as error:  # the record without the URL is enough to clean up behind us
            self.warn("record_unusable", str(error))
        self.update_lines()

    def watch_health(self, health: HealthMonitor) -> None:
        """Start the health plugins, as soon as the warm-ups are over."""
        self.health = health
        if self._warmed_up.is_set():
            health.start()
        else:
            self.tasks.start(self._start_health(health), "health start")

    async def _start_health(self, health: HealthMonitor) -> None:
        # A check that imports what a warm-up imports just now waits for its thread: the event loop would too.
        with anyio.move_on_after(min(_LONGEST_WARM_UP, self.spec.startup_timeout / 3)):
            await self._warmed_up.wait()
        health.start()

    def note_ready(self) -> None:
        """It may be used from now on."""
        self.ready_at = self.context.clock()

    # -- ending -------------------------------------------------------------------------------

    async def stop_tree(self, grace: float, on_refused: Callable[[int], None]) -> tuple[int, ...]:
        """Stop the process tree, with SIGKILL after `grace` seconds; the pids that are still there.

        `on_refused` is called with each process that hostler may not signal.
        """
        if self.context.affinity.forked:
            return ()

        self.killed = self.killed or self.process.alive()
        order = StopOrder(self.spec.stop, self.spec.stop_signal)
        stop = self.context.processes.stop
        left = await stop(
            self.process, grace=grace, order=order, cut_short=self.forced, on_refused=on_refused
        )
        if not left:
            await self.capture.drained(_DRAIN_SECONDS, 0.0 if self.killed else _LAST_LINES)

        return left

    def kill_now(self) -> bool:
        """SIGKILL the whole tree and clean up without the loop; False when something outlives that."""
        self.tasks.cancel()
        if self.health is not None:
            self.health.cancel()
        if not self.context.affinity.forked and self.context.processes.kill_now(self.process):
            return False
        return super().kill_now()


@lru_cache(maxsize=64)
def _mapping(items: tuple[tuple[str, str], ...]) -> Mapping[str, str]:
    # Most servers have the same variables: all their events and records share one mapping.
    return dict(items)
