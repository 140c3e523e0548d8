"""One server as programs and plugins see it, and what plugins do for it."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

from hostler.errors import ServerError
from hostler.events.crash import CrashRecord
from hostler.events.events import Event, Progress
from hostler.events.health import HealthReport
from hostler.model.heartbeat import is_heartbeat
from hostler.model.launch import a_string
from hostler.model.spec import ServerSpec
from hostler.model.states import State
from hostler.model.values import Auth, Endpoint, Line, ProcessUsage, StreamEvent, StreamGap
from hostler.process.context import SupervisorContext
from hostler.process.spawn.environment import MARKER, safe_base
from hostler.runtime.base_run import Run
from hostler.runtime.command import AsServer, CommandRunner
from hostler.runtime.health_reports import last_reports
from hostler.runtime.listener_identity import find_stranger, verify_listener
from hostler.runtime.plugin_tasks import ServerTasks, run_beside
from hostler.runtime.reporter import Reporter
from hostler.runtime.server_status import ServerStatus


class ServerFacts(AsServer):
    """One server as programs and plugins see it. Its methods are used on the event loop's thread."""

    def __init__(
        self, spec: ServerSpec, context: SupervisorContext, listener: Callable[[Event], None]
    ) -> None:
        self.spec = spec
        self.context = context
        self.status = ServerStatus()
        self.reporter = Reporter(spec.name, listener)
        self.published: dict[str, str] = {}
        self.published_secrets: tuple[str, ...] = ()
        self.plugin_tasks = ServerTasks()
        self._active_at: float | None = None

    # -- what is ------------------------------------------------------------------------------

    @property
    def name(self) -> str:
        """The server's name in the configuration."""
        return self.spec.name

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self.status.state

    @property
    def error(self) -> ServerError | None:
        """What made it fail, or its last crash; None once it runs."""
        return self.status.error

    @property
    def generation(self) -> int:
        """The number of its run, from 1 on; 0 before its first start."""
        return self.status.generation

    @property
    def restarts(self) -> int:
        """How often it was restarted by itself."""
        return self.status.restarts

    @property
    def run(self) -> Run | None:
        """Its present run; None while it is stopped or failed, and while it waits for a restart."""
        return self.status.run

    @property
    def pid(self) -> int | None:
        """The pid of the spawned process, None without a living run."""
        process = None if self.run is None else self.run.process
        return None if process is None else process.pid

    @property
    def endpoint(self) -> Endpoint | None:
        """Where it listens, once that is confirmed."""
        return None if self.run is None else self.run.endpoint

    @property
    def url(self) -> str | None:
        """The URL with the actual port, once that is confirmed."""
        return None if self.endpoint is None else self.endpoint.url

    @property
    def facts(self) -> Mapping[str, object]:
        """What plugins noted about this run; empty before the spawn."""
        return MappingProxyType({}) if self.run is None else self.run.facts

    @property
    def auth(self) -> Auth | None:
        """The credentials of this run, where a plugin set some."""
        auth = self.facts.get("auth")
        return auth if isinstance(auth, Auth) else None

    @property
    def uptime(self) -> float:
        """Seconds since the spawn of the present process; 0 without one."""
        return 0.0 if self.run is None else self.run.uptime

    @property
    def memory(self) -> int:
        """Resident memory of the whole process tree in bytes; 0 without one."""
        process = None if self.run is None else self.run.process
        return 0 if process is None else self.context.processes.memory(process).rss

    async def processes(self, *, shared_once: bool = False) -> tuple[ProcessUsage, ...]:
        """What each process of its living tree uses, the largest first; nothing without one.

        Memory that several share is counted for each; with `shared_once` each counts its part, which is
        slower. Raises OSError when nobody can look, without a free descriptor, say.
        """
        process = None if self.run is None else self.run.process
        return () if process is None else await self.context.processes.usage(process, shared_once=shared_once)

    @property
    def quiet_for(self) -> float:
        """Seconds since the last event of its event stream that is no heartbeat; infinite without one."""
        return math.inf if self._active_at is None else self.context.clock() - self._active_at

    @property
    def event_count(self) -> int:
        """How many events of its own event stream have been seen, over all runs."""
        return self.reporter.event_count

    @property
    def skipped_events(self) -> int:
        """How many more came and were skipped, being larger than `max_event`, over all runs."""
        return self.reporter.skipped_events

    @property
    def last_event_at(self) -> datetime | None:
        """When the last of them was seen (UTC)."""
        return self.reporter.last_event_at

    @property
    def health(self) -> str:
        """What the health plugins say now: "healthy", "unhealthy", "unknown", or "" without any."""
        watch = None if self.run is None else self.run.health
        if watch is None or not watch.plugins:
            return ""
        return "healthy" if watch.healthy else "unhealthy" if watch.complaint else "unknown"

    @property
    def reports(self) -> Mapping[str, HealthReport]:
        """What each health plugin reported last about this run, by the plugin's name."""
        return last_reports(self.run, self.reporter)

    @property
    def crashes(self) -> tuple[CrashRecord, ...]:
        """The records of its last 20 unexpected exits, oldest first; of this supervisor only."""
        return self.status.crashes

    @property
    def last_failure(self) -> CrashRecord | None:
        """The crash before the try that is under way or due; None where there was none."""
        crash = self.crashes[-1] if self.crashes else None
        recent = crash is not None and crash.generation >= self.generation - 1
        return crash if crash is not None and recent and crash.outcome is State.BACKOFF else None

    @property
    def awaited(self) -> Sequence[ServerFacts]:
        """The servers that its start waits for."""
        return ()

    @property
    def end_asked(self) -> bool:
        """Whether the present run is to end, for a stop or a restart."""
        return False

    @property
    def data_dir(self) -> Path:
        """Where logs and other outputs go."""
        return self.context.data_dir

    @property
    def cache_dir(self) -> Path:
        """hostler's cache, shared by all servers."""
        return self.context.directories.cache

    @property
    def state_dir(self) -> Path:
        """Where locks and run records are kept."""
        return self.context.directories.state

    # -- what can be followed -----------------------------------------------------------------

    def events(self) -> AsyncIterator[Event]:
        """Every event of this server from now on; ends with the supervisor.

        What a plugin's lasting task follows ends when the server is at rest.
        """
        self.context.affinity.check()
        events = self.reporter.events.subscribe()
        self.plugin_tasks.note_follower(events)
        return events

    def stream_events(self) -> AsyncIterator[StreamEvent | StreamGap]:
        """The parsed events of the health connection from now on, with marks where some were lost."""
        self.context.affinity.check()
        return self.reporter.stream.subscribe()

    def lines(self, buffer: int = 4096) -> AsyncIterator[Line]:
        """Its output from now on, line by line, over all runs.

        At most `buffer` lines wait for you, and 16 MiB of them. Beyond that the oldest are dropped, and
        `missed` of the next line is their number.
        """
        self.context.affinity.check()
        if buffer < 1:
            raise ValueError(f"buffer: expected 1 or more lines, got {buffer}")
        lines = self.reporter.lines.subscribe(buffer)
        if self.run is not None:
            self.run.update_lines()
        return lines

    def child_env(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """The environment for a process that is to talk to this server.

        It is `base` (this program's own environment by default) and what plugins published, such as
        OPENCODE_SERVER; a name whose URL is not known yet is left out.
        """
        env = dict(os.environ if base is None else base)
        env.pop(MARKER, None)
        for name, value in self.published.items():
            if "${server.url}" not in value:
                env[name] = value
            elif self.url is not None:
                env[name] = value.replace("${server.url}", self.url)
        return env

    def stranger(self) -> str:
        """Who listens at the endpoint in its place: "pid 12 (nginx)"; "" where nobody is seen to."""
        run = self.run
        if run is None or run.process is None or run.endpoint is None:
            return ""
        return find_stranger(run.endpoint, run.process, self.context.processes, self.spec.identity)

    def verify_listener(self, *, secret: bool = False, at: Endpoint | None = None) -> None:
        """Return where its own processes listen at the endpoint (or `at` another one).

        With `secret`, or `identity = "require"`, a doubt is refused too. Raises PortInUse for a stranger or
        a doubt, ConnectionRefusedError where nobody listens, OSError when nobody can look; nothing with
        `identity = "off"`.
        """
        run, place = self.run, at or self.endpoint
        if run is not None and run.process is not None and place is not None:
            verify_listener(place, run.process, self.context.processes, self.spec.identity, secret=secret)
        elif secret:
            raise ConnectionRefusedError(errno.ECONNREFUSED, "it does not listen yet")

    def is_secret(self, text: str) -> bool:
        """Whether a text holds a secret that is known, were it too short to be masked."""
        return self.reporter.masker.knows(text)

    def members(self) -> list[int]:
        """The pids of its living process tree; empty without one."""
        return [] if self.run is None else self.run.members()

    def command_env(self) -> dict[str, str]:
        """The environment for a command that is run for this server.

        A short safe list (PATH, HOME, LANG and the like), what plugins published, and HOSTLER_SERVER,
        HOSTLER_STATE, HOSTLER_PID, HOSTLER_URL, HOSTLER_HOST and HOSTLER_PORT as far as they are known.
        """
        facts = {"SERVER": self.name, "STATE": self.state.value, "PID": self.pid, "URL": self.url}
        if self.endpoint is not None:
            facts |= {"HOST": self.endpoint.reachable_host, "PORT": self.endpoint.port}
        known = {f"HOSTLER_{name}": str(value) for name, value in facts.items() if value is not None}
        return self.child_env(safe_base(self.context.host_env)) | known

    def _command_runner(self) -> CommandRunner:
        if self.run is None:
            raise ServerError("no command can run for it before it is started", server=self.name)
        return self.run.command_runner()

    # -- what plugins do ----------------------------------------------------------------------

    def publish(self, name: str, value: str, *, secret: bool = False) -> None:
        """Add a variable to `child_env()`; TypeError unless it is a string."""
        text = a_string(f"the variable {name}", value)
        if secret:
            self.redact(text)  # first: what cannot be masked is published to nobody
            self.published_secrets = (*{*self.published_secrets, text},)
        self.published[name] = text

    def redact(self, value: str) -> None:
        """Mask this value from now on wherever hostler writes."""
        self.reporter.masker.register(value)

    def progress(self, text: str, fraction: float | None = None) -> None:
        """Report what is being done."""
        self.reporter.emit(Progress(**self.reporter.origin, text=text, fraction=fraction))

    def notice(self, topic: str, text: str, *, level: str = "info", **details: object) -> None:
        """Report something that is no state."""
        self.reporter.notice(topic, text, level, details)

    def deliver(self, item: StreamEvent | StreamGap) -> None:
        """Publish an event of the health connection to `stream_events()`."""
        if isinstance(item, StreamEvent) and not is_heartbeat(item):
            self._active_at = self.context.clock()
        self.reporter.deliver(item)

    def start_soon(
        self,
        function: Callable[[], Awaitable[None]],
        *,
        over_restarts: bool = False,
        while_failed: str = "",
    ) -> None:
        """Run something beside this run, until the server is at rest, or also while it has failed."""
        if over_restarts or while_failed:
            self.plugin_tasks.start(run_beside(function, self.reporter), while_failed, self.wake)
        elif self.run is not None:
            self.run.start_soon(function)

    def wake(self) -> None:
        """Let everybody who waits for a change look again."""
