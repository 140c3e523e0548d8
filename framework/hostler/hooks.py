"""The six hooks: what a plugin can do. Read this page before writing one.

A plugin is a dataclass (`@dataclass(eq=False)`): its fields are its options in TOML, its methods,
marked with `@hookimpl`, are its hooks. A method names only the arguments that it uses. A plugin may say
which version of this page it was written for: `api = "1"`, a plain attribute of the class.

The arguments of a hook may grow and never shrink. What will be removed is marked first (`warn_on_impl_args`,
`warn_on_impl` of `hookspec`): a plugin that uses it gets a warning and still works, until `OLDEST_API` has
passed it.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import pluggy

from hostler.model.launch import Launch
from hostler.model.spec import ServerSpec
from hostler.model.states import State
from hostler.model.values import (
    Advice,
    Auth,
    CommandResult,
    Endpoint,
    Exit,
    Line,
    ProcessUsage,
    Report,
    StreamEvent,
    StreamGap,
    StreamName,
)

if TYPE_CHECKING:
    # Slow to import, and no hook of a plugin is called with them.
    from hostler.events.events import Event
    from hostler.events.health import HealthReport

PROJECT = "hostler"
# What a plugin's `api` may be, from oldest to newest; any new hook or argument is a step.
OLDEST_API, API = "1", "1"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class ServerView(Protocol):
    """What a plugin sees of its server. All of it is used on the event loop's thread."""

    @property
    def name(self) -> str:
        """The name in the configuration."""

    @property
    def spec(self) -> ServerSpec:
        """All that was configured."""

    @property
    def state(self) -> State:
        """The state of its lifecycle."""

    @property
    def generation(self) -> int:
        """The number of this run, from 1."""

    @property
    def pid(self) -> int | None:
        """The pid of the spawned process, None without one."""

    @property
    def endpoint(self) -> Endpoint | None:
        """Where it listens, once that is confirmed."""

    @property
    def url(self) -> str | None:
        """The URL of the endpoint."""

    @property
    def auth(self) -> Auth | None:
        """What `launch.facts["auth"]` held, if anything."""

    @property
    def data_dir(self) -> Path:
        """Where logs and other outputs go; it exists."""

    @property
    def cache_dir(self) -> Path:
        """hostler's cache, shared by all servers; it exists."""

    @property
    def state_dir(self) -> Path:
        """Where locks and records are kept; it exists."""

    @property
    def facts(self) -> Mapping[str, object]:
        """What `launch.facts` held when this run was spawned; empty before that."""

    def stranger(self) -> str:
        """The foreign process that listens at the endpoint: "pid 12 (nginx)"; "" where none is seen.

        To connect, ask `verify_listener`.
        """

    def verify_listener(self, *, secret: bool = False, at: Endpoint | None = None) -> None:
        """Return where the server's own processes listen at its endpoint (or `at` another one).

        Ask right before a connection, and once more before anything goes over it, then at the address that
        it led to (`getpeername()`), with our own end as its `near` (`getsockname()`): a server may close
        its port and run on, and another may listen for a moment at one more address of its name. With
        `secret` (a password will be sent) or `identity = "require"`, a listener that cannot be identified is
        refused too. Raises PortInUse, ConnectionRefusedError where nobody listens, or another OSError when
        nobody can look.
        """

    def is_secret(self, text: str) -> bool:
        """Whether a text holds a secret that hostler knows, were it too short to be masked."""

    def members(self) -> list[int]:
        """The pids of its living process tree; it is looked up at each call."""

    def command_env(self) -> dict[str, str]:
        """The environment for a command that is run for this server: a safe list, what was published, facts.

        The facts are HOSTLER_SERVER, HOSTLER_STATE, HOSTLER_PID, HOSTLER_URL, HOSTLER_HOST and HOSTLER_PORT.
        """

    async def run_command(
        self,
        argv: Sequence[str],
        *,
        timeout: float,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        sandboxed: bool = True,
    ) -> CommandResult:
        """Run a command as the server is run: as its user, in its sandbox; what it started is ended after it.

        `timeout` is in seconds, `env` its whole environment (None: `command_env()`), `cwd` where it works
        (None: the server's own). `sandboxed = False` is for programs of the system that nobody can change.
        Raises a ServerError when it cannot be started.
        """

    async def read_file(self, path: Path) -> str:
        """The text of a plain file of at most 64 KiB, read as the server could: as its user, in its sandbox.

        Use it for whatever the server can write. OSError as the server itself would get it.
        """

    async def create_file(self, path: Path, text: str) -> bool:
        """Make a file (0600) and the folders above it (0700) as the server could, whole or not at all.

        False where one is there that is not empty. OSError as the server itself would get it.
        """

    async def remove_file(self, path: Path) -> None:
        """Remove a file as the server could, if it is there. OSError as the server itself would get it."""

    @property
    def quiet_for(self) -> float:
        """Seconds since the last event of its event stream that is no heartbeat; infinite without one."""

    async def processes(self, *, shared_once: bool = False) -> tuple[ProcessUsage, ...]:
        """What each process of the living tree uses, the largest first; nothing without one.

        Memory that several share is counted for each; with `shared_once` each counts its part, which is
        slower. Raises OSError when nobody can look, without a free descriptor, say.
        """

    @property
    def reports(self) -> Mapping[str, HealthReport]:
        """What each health plugin reported last about this run, by the plugin's name."""

    def publish(self, name: str, value: str, *, secret: bool = False) -> None:
        """Add a variable to `child_env()`; `${server.url}` in it is filled in when the URL is known."""

    def redact(self, value: str) -> None:
        """Register a secret that was found at run time: masked from now on wherever hostler writes."""

    def progress(self, text: str, fraction: float | None = None) -> None:
        """Report progress; a terminal shows it beside the spinner."""

    def notice(self, topic: str, text: str, *, level: str = "info", **details: object) -> None:
        """Emit a notice of something that is no state: "env_withheld", "update_available" ..."""

    def events(self) -> AsyncIterator[Event]:
        """Follow the server's own events: its states, and what was decided after a crash.

        `CrashRecorded` has the decision: `record.outcome` (backoff, failed, stopped), `decision`, `next_try`.
        Call it in a task of `start_soon(..., over_restarts=True)`: that ends after the event by which the
        server came to rest (it failed, was stopped, or has completed), and the task has 5 s more to do what
        it does about that. With `while_failed` it goes on while the server has failed. Elsewhere it goes on
        for as long as it is followed. Of more than 1024 that wait the oldest are dropped, which the notice
        `events_dropped` says.
        """

    def lines(self, buffer: int = 4096) -> AsyncIterator[Line]:
        """Follow the output, line by line; of more than `buffer` that wait the oldest are dropped.

        `missed` of a line is the number of those that were lost right before it.
        """

    def deliver(self, item: StreamEvent | StreamGap) -> None:
        """Pass an event of the health connection on to those who follow `stream_events()`; never blocks."""

    def start_soon(
        self,
        function: Callable[[], Awaitable[None]],
        *,
        over_restarts: bool = False,
        while_failed: str = "",
    ) -> None:
        """Run a task alongside this run; it is cancelled when the run ends, its failure is reported.

        With `over_restarts` it goes on through restarts and their delays, until the server is at rest (up to
        5 s longer where it follows `events()`). With `while_failed`, which tells what brings a failed server
        back ("a change of its files starts it anew"), it and all other lasting work go on while the server
        has failed, too: until it is stopped, or somebody else starts it.
        """

    def ask_restart(self, reason: str, *, when: Literal["now", "planned"] = "now") -> None:
        """Have this run ended in order and another one begun, without waiting; no restart is used up.

        One that is "planned" waits until nothing runs on the server where `restart.wait_idle` says so.

        A server that has crashed, waits for its restart or has failed is started at once, with a full budget.
        Nothing happens while it starts or stops, or when it is to be down.
        """


@hookspec
async def pre_spawn(server: ServerView, launch: Launch) -> None:
    """Edit the launch before every spawn, in order. A failure means that nothing is spawned.

    Deadline: `prepare_timeout` for all of them together. A `ServerError` is passed on as it is.
    """


@hookspec
def parse_port(server: ServerView, line: str, stream: StreamName) -> Endpoint | None:
    """Find the endpoint in one complete line (cut at 8 KiB); the first plugin that answers wins.

    An answer is a candidate until a process of the server listens there; later lines are still passed on.
    """


@hookspec
def health_check(  # type: ignore[empty-body]
    server: ServerView, endpoint: Endpoint | None
) -> AsyncGenerator[Report, None]:
    """Watch the server from the moment it listens to the end of the run: `async def` with `yield`.

    Yield a report as you learn it. Returning means that the last report stands; raising means
    "unknown". On close (GeneratorExit) there are 2 s to let go of connections.
    """


@hookspec
async def on_ready(server: ServerView, endpoint: Endpoint | None) -> None:
    """Called when the server enters running. Deadline: 5 s."""


@hookspec
async def on_crash(server: ServerView, exit: Exit) -> Advice | None:  # noqa: A002
    """Called in crashed, when the whole process tree is dead; may advise what follows. Deadline: 5 s."""


@hookspec
async def on_shutdown(server: ServerView, reason: str) -> None:
    """Called on entering stopping, before the first signal; not when the server is killed at once.

    Deadline: 2 s each, 3 s together.
    """
