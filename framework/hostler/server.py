"""One server: what programs and plugins see of it, and the only writer of its state."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from datetime import datetime
from enum import Enum
from pathlib import Path
from types import MappingProxyType

import anyio

from hostler.environment import MARKER
from hostler.errors import ForceKillTimeout, ProcessAlreadyRunning, ServerCrashed, ServerError, StartupTimeout
from hostler.events import Event, Progress, StateChanged
from hostler.model import Auth, Endpoint, Line, ServerSpec, StreamEvent, StreamGap
from hostler.restart import Budget
from hostler.run import Asked, Run
from hostler.states import MOVES, State
from hostler.surroundings import Surroundings
from hostler.voice import Voice


class Wanted(Enum):
    """What the user wants of a server, apart from what is."""

    UP = "up"
    DOWN = "down"


class Server:
    """One server of a supervisor. Its methods are used on the event loop's thread."""

    def __init__(
        self,
        spec: ServerSpec,
        around: Surroundings,
        needs: Mapping[str, Server],
        listener: Callable[[Event], None],
    ) -> None:
        self.spec = spec
        self.name = spec.name
        self.around = around
        self.needs = needs
        self.voice = Voice(spec.name, listener)
        self.state = State.STOPPED
        self.since = around.clock()
        self.wanted = Wanted.DOWN
        self.error: ServerError | None = None
        self.generation = 0
        self.restarts = 0
        self.budget = Budget()
        self.run: Run | None = None
        self.published: dict[str, str] = {}
        self.spawned_generation = 0
        self.promised_port: int | None = None
        self.end_asked_of = 0
        self.missing_tools: tuple[str, ...] = ()
        self.attended = False
        self.start_asked = anyio.Event()
        self.stuck: ForceKillTimeout | None = None
        self._rests = 0
        self._changed = anyio.Event()

    # -- what is ------------------------------------------------------------------------------

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
        return 0 if process is None else self.around.processes.memory(process).rss

    @property
    def event_count(self) -> int:
        """How many events of its own event stream have been seen, over all runs."""
        return self.voice.event_count

    @property
    def last_event_at(self) -> datetime | None:
        """When the last of them was seen (UTC)."""
        return self.voice.last_event_at

    @property
    def health(self) -> str:
        """What the health plugins say now: "healthy", "unhealthy", "unknown", or "" without any."""
        watch = None if self.run is None else self.run.health

        if watch is None or not watch.plugins:
            return ""

        return "healthy" if watch.healthy else "unhealthy" if watch.complaint else "unknown"

    @property
    def data_dir(self) -> Path:
        """Where logs and other outputs go."""
        return self.around.data_dir

    @property
    def cache_dir(self) -> Path:
        """hostler's cache, shared by all servers."""
        return self.around.directories.cache

    @property
    def state_dir(self) -> Path:
        """Where locks and run records are kept."""
        return self.around.directories.state

    # -- commands -----------------------------------------------------------------------------

    async def start(self) -> None:
        """Ask for the server to be up and wait until its process has been spawned.

        Raises ProcessAlreadyRunning when it runs, and what made it fail when it could not start.
        A stop that is asked for meanwhile wins, and ends the wait.
        """
        if self.state is State.RUNNING and not self.end_asked:
            raise self._runs_already()

        under_way = self.state in {State.STARTING, State.WAITING_READY} and not self.end_asked
        self.ask_up()
        await self._until_spawned(after=self.generation - under_way)

    async def stop(self, *, force: bool = False) -> None:
        """Ask for the server to be down and wait until nothing of it is left; `force` skips the grace period.

        Raises ForceKillTimeout, with the pids, when something outlives SIGKILL.
        """
        before = self._rests
        self.ask_down()

        if force and self.run is not None:
            self.run.cut_short.set()

        await self.until(lambda: self.state.at_rest or self._rests > before or self.stuck is not None)

        if self.stuck is not None:
            raise self.stuck

    async def force_stop(self) -> None:
        """Stop with SIGKILL at once; otherwise as `stop`."""
        await self.stop(force=True)

    async def restart(self, *, generation: int | None = None) -> None:
        """Stop and start it again, and wait until the new process has been spawned.

        Restarts that are asked for while one is under way are one. With `generation`, the command is
        for that run only: when another one is there already, nothing happens.
        """
        if generation is not None and generation != self.generation:
            return

        if self.state not in {State.WAITING_READY, State.RUNNING}:
            await self.start()
            return

        self.ask_up()
        self.end_asked_of = self.generation
        await self._until_spawned(after=self.generation)

    async def wait_ready(self, timeout: float | None = None) -> None:
        """Wait until the server may be used.

        Raises what made it fail when it gave up, ServerError when it is stopped, and StartupTimeout
        after `timeout` seconds.
        """
        with anyio.move_on_after(timeout):
            while not self.idle():
                if self.usable and not (self.pid is not None and self.around.processes.is_dying(self.pid)):
                    return

                await self.changed()

            if self.state is State.FAILED and self.error is not None:
                raise self.error

            raise ServerError("it is stopped", server=self.name, hint="call start() first")

        raise StartupTimeout(
            f"not ready after {timeout:g} s; it is {self.state.value}",
            server=self.name,
            hint="wait longer, or look at the log of the server",
            details={"state": self.state.value, "timeout": timeout},
        )

    async def wait_stopped(self) -> None:
        """Wait until the server is at rest, stopped or failed, and nobody has asked for it to be up."""
        await self.until(self.idle)

    # -- what can be followed -----------------------------------------------------------------

    def events(self) -> AsyncIterator[Event]:
        """Every event of this server from now on; ends with the supervisor."""
        return self.voice.events.subscribe()

    def stream_events(self) -> AsyncIterator[StreamEvent | StreamGap]:
        """The parsed events of the health connection from now on, with marks where some were lost."""
        return self.voice.stream.subscribe()

    def lines(self) -> AsyncIterator[Line]:
        """Its output from now on, line by line, over all runs; oldest lines are dropped first."""
        lines = self.voice.lines.subscribe()

        if self.run is not None:
            self.run.follow_lines()

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

    # -- what plugins do ----------------------------------------------------------------------

    def publish(self, name: str, value: str, *, secret: bool = False) -> None:
        """Add a variable to `child_env()`."""
        self.published[name] = value

        if secret:
            self.voice.masker.add(value)

    def redact(self, value: str) -> None:
        """Mask this value from now on wherever hostler writes."""
        self.voice.masker.add(value)

    def progress(self, text: str, fraction: float | None = None) -> None:
        """Say what is being done."""
        self.voice.say(
            Progress(
                server=self.name,
                generation=self.generation,
                text=self.voice.masker.text(text),
                fraction=fraction,
            )
        )

    def notice(self, topic: str, text: str, *, level: str = "info", **details: object) -> None:
        """Tell the world something that is no state."""
        self.voice.notice(topic, text, level, details)

    def deliver(self, item: StreamEvent | StreamGap) -> None:
        """Hand an event of the health connection to whoever follows it."""
        self.voice.deliver(item)

    def start_soon(self, function: Callable[[], Awaitable[None]]) -> None:
        """Run something beside this run."""
        if self.run is not None:
            self.run.start_soon(function)

    # -- for the life and the supervisor ------------------------------------------------------

    def ask_up(self) -> None:
        """Want it up, and what it needs, without waiting. ServerError where nobody would see to it."""
        if not self.attended:
            raise ServerError(
                "its supervisor does not run",
                server=self.name,
                hint="use it inside of `async with Supervisor(...)`",
            )

        for other in self.needs.values():
            if other.wanted is Wanted.DOWN or other.state is State.FAILED:
                other.ask_up()

        self.wanted = Wanted.UP

        if self.state not in {State.STARTING, State.WAITING_READY, State.RUNNING}:
            self.start_asked.set()

        self._nudge()

    def ask_down(self) -> None:
        """Want it down, without waiting; this run ends, even if it is wanted up again at once."""
        self.wanted = Wanted.DOWN
        self.end_asked_of = self.generation
        self._nudge()

    def enter(
        self,
        state: State,
        *,
        reason: str = "",
        seconds: float | None = None,
        error: ServerError | None = None,
    ) -> None:
        """Move to `state`: checked against MOVES, stamped, told. Nothing else writes the state."""
        previous = self.state

        if state not in MOVES[previous]:
            raise AssertionError(f"illegal move of {self.name}: {previous.value} -> {state.value}")

        self.state, self.since = state, self.around.clock()
        self._rests += state.at_rest
        self.error = error or (self.error if state is not State.RUNNING else None)
        self.voice.say(
            StateChanged(
                server=self.name,
                generation=self.generation,
                state=state,
                previous=previous,
                pid=self.pid,
                url=self.url,
                reason=self.voice.masker.text(reason),
                seconds=None if seconds is None else round(seconds, 3),
                error=None if error is None else self.voice.masker.text(str(error)),
            )
        )
        self.wake()

    async def needed_env(self) -> dict[str, str]:
        """Wait until all needed servers are ready; what they publish, as variables for this one.

        Raises ServerCrashed, permanent, when one of them gave up or is stopped.
        """
        env: dict[str, str] = {}

        while missing := [other for other in self.needs.values() if not other.usable]:
            other = missing[0]
            self.progress(f"waiting for {other.name}")
            await other.until(other.settled)

            if not other.usable:
                raise ServerCrashed(
                    f"it needs {other.name}, which is {other.state.value}",
                    server=self.name,
                    hint=f"see why {other.name} is {other.state.value}, then start both",
                    permanent=True,
                )

        for other in self.needs.values():
            env |= other.child_env({})

        return env

    @property
    def end_asked(self) -> bool:
        """Whether the present run is to end, for a stop or a restart."""
        return self.wanted is Wanted.DOWN or self.end_asked_of == self.generation

    def settled(self) -> bool:
        """Whether it is ready, or will not be unless somebody asks for it."""
        return self.usable or self.idle()

    def idle(self) -> bool:
        """Whether it is at rest and nobody has asked for it."""
        return self.state.at_rest and not (self.start_asked.is_set() and self.wanted is Wanted.UP)

    def at_rest_or_stuck(self) -> bool:
        """Whether nothing is left of it, or what is left cannot be stopped."""
        return self.state.at_rest or self.stuck is not None

    def wake(self) -> None:
        """Let everybody who waits look again."""
        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until `condition` holds; it is looked at after every change."""
        while not condition():
            await self.changed()

    async def changed(self) -> None:
        """Wait for the next change."""
        await self._changed.wait()

    def _nudge(self) -> None:
        if self.run is not None:
            self.run.inbox.post(Asked())

        self.wake()

    def _runs_already(self) -> ProcessAlreadyRunning:
        stdout, stderr = ("", "") if self.run is None else self.run.tails()
        error = ProcessAlreadyRunning(
            f"it runs already (pid {self.pid})",
            hint="use restart() to start it anew",
            details={"pid": self.pid, "url": self.url},
        )
        return self.voice.own(error, stdout=stdout, stderr=stderr)

    async def _until_spawned(self, *, after: int) -> None:
        """Wait for the spawn of a later run than `after`, or a stop; raises what made it fail."""

        def gave_up() -> bool:
            return self.state is State.FAILED and self.generation > after

        await self.until(lambda: self.spawned_generation > after or gave_up() or self.wanted is Wanted.DOWN)

        if gave_up() and self.error is not None:
            raise self.error

    @property
    def usable(self) -> bool:
        """Whether it is running, its process lives, and neither stop nor restart is asked for."""
        process = None if self.run is None else self.run.process
        alive = process is None or process.alive()
        return self.state is State.RUNNING and not self.end_asked and alive
