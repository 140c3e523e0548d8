"""One server as programs hold it: what is, what can be followed, and the commands."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from functools import wraps
from pathlib import Path
from typing import Any, Concatenate, Generic, ParamSpec, Self, TypeVar, overload
from weakref import WeakValueDictionary

from hostler.engine.server import SupervisedServer
from hostler.errors import ServerError
from hostler.events.counts import ServerCounts
from hostler.events.crash import CrashRecord, MemoryPoint
from hostler.events.events import StateChanged
from hostler.events.health import HealthReport
from hostler.model.launch import LogFiles
from hostler.model.spec import ServerSpec
from hostler.model.states import State
from hostler.model.values import Auth, Endpoint
from hostler.plugins.hook_stats import HookStats
from hostler.supervisor.memory_sampler import note_memory

P = ParamSpec("P")
T = TypeVar("T")


class Fact(property, Generic[T]):
    """A property of the server in the engine, with its contract."""

    def __init__(self, doc: str = "") -> None:
        super().__init__()
        self.__doc__ = doc

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name
        self.__doc__ = self.__doc__ or getattr(SupervisedServer, name).__doc__

    @overload
    def __get__(self, server: None, owner: type, /) -> Self: ...

    @overload
    def __get__(self, server: Any, owner: type | None = None, /) -> T: ...

    def __get__(self, server: Any, owner: type | None = None, /) -> Any:
        return self if server is None else getattr(server._engine, self._name)  # noqa: SLF001 - a part of it


def command(
    method: Callable[Concatenate[SupervisedServer, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[Server, P], Coroutine[Any, Any, T]]:
    """A coroutine method of the server in the engine, with its contract."""

    @wraps(method)
    async def call(self: Server, /, *arguments: P.args, **named: P.kwargs) -> T:
        return await method(self._engine, *arguments, **named)

    return call


def query(method: Callable[Concatenate[SupervisedServer, P], T]) -> Callable[Concatenate[Server, P], T]:
    """A method of the server in the engine, with its contract."""

    @wraps(method)
    def call(self: Server, /, *arguments: P.args, **named: P.kwargs) -> T:
        return method(self._engine, *arguments, **named)

    return call


class Server:
    """One server of a supervisor. Its methods are used on the event loop's thread."""

    def __init__(self, engine: SupervisedServer, handle_of: Callable[[SupervisedServer], Server]) -> None:
        self._engine = engine
        self._handle_of = handle_of

    def __repr__(self) -> str:
        return repr(self._engine)

    # -- what is ------------------------------------------------------------------------------

    name = Fact[str]()
    spec = Fact[ServerSpec]("All that is configured of it; another one after a reload that changed it.")
    state = Fact[State]()
    error = Fact[ServerError | None]()
    generation = Fact[int]()
    restarts = Fact[int]()
    last_change = Fact[StateChanged | None]()
    ready_seconds = Fact[float | None]()
    restart_budget = Fact[tuple[int, int]]()
    next_try = Fact[datetime | None]()
    wanted = Fact[bool]()
    is_settled = query(SupervisedServer.is_settled)
    stuck = Fact[str | None]()
    completed = Fact[bool]()
    usable = Fact[bool]()
    end_asked = Fact[bool]()
    stop_asked = Fact[bool]()
    pid = Fact[int | None]()
    endpoint = Fact[Endpoint | None]()
    url = Fact[str | None]()
    auth = Fact[Auth | None]()
    facts = Fact[Mapping[str, object]]()
    uptime = Fact[float]()
    memory = Fact[int]()
    memory_points = Fact[tuple[MemoryPoint, ...]]()
    processes = command(SupervisedServer.processes)
    members = query(SupervisedServer.members)
    health = Fact[str]()
    reports = Fact[Mapping[str, HealthReport]]()
    hook_stats = Fact[Mapping[tuple[str, str], HookStats]]()
    hook_totals = Fact[Mapping[tuple[str, str], HookStats]]()
    counts = Fact[ServerCounts]()
    what_runs = command(SupervisedServer.what_runs)
    quiet_for = Fact[float]()
    event_count = Fact[int]()
    skipped_events = Fact[int]()
    last_event_at = Fact[datetime | None]()
    crashes = Fact[tuple[CrashRecord, ...]]()
    last_failure = Fact[CrashRecord | None]()
    data_dir = Fact[Path]()
    cache_dir = Fact[Path]()
    state_dir = Fact[Path]()
    meets = query(SupervisedServer.meets)

    @property
    def awaited(self) -> Sequence[Server]:
        """The servers that its start waits for."""
        return [self._handle_of(server) for server in self._engine.awaited]

    # -- commands -----------------------------------------------------------------------------

    start = command(SupervisedServer.start)
    stop = command(SupervisedServer.stop)
    force_stop = command(SupervisedServer.force_stop)
    restart = command(SupervisedServer.restart)
    wait_ready = command(SupervisedServer.wait_ready)
    wait_for = command(SupervisedServer.wait_for)
    wait_completed = command(SupervisedServer.wait_completed)
    wait_stopped = command(SupervisedServer.wait_stopped)
    until = command(SupervisedServer.until)

    async def ensure(self, timeout: float | None = None) -> Self:
        """Start it unless it is up, coming up or completed, wait as `wait_ready` does, and return it.

        A restart that is due after a crash is waited for, with its delay. Errors as in `wait_ready`.
        """
        await self._engine.ensure(timeout)
        return self

    # -- what can be followed -----------------------------------------------------------------

    events = query(SupervisedServer.events)
    stream_events = query(SupervisedServer.stream_events)
    lines = query(SupervisedServer.lines)
    log = Fact[LogFiles | None]()
    tail = query(SupervisedServer.tail)

    # -- beside it ----------------------------------------------------------------------------

    child_env = query(SupervisedServer.child_env)
    command_env = query(SupervisedServer.command_env)
    run_command = command(SupervisedServer.run_command)
    read_file = command(SupervisedServer.read_file)
    create_file = command(SupervisedServer.create_file)
    remove_file = command(SupervisedServer.remove_file)
    verify_listener = query(SupervisedServer.verify_listener)
    stranger = query(SupervisedServer.stranger)
    is_secret = query(SupervisedServer.is_secret)


class Handles:
    """The one handle of each server, for as long as somebody holds it."""

    def __init__(self) -> None:
        self._made: WeakValueDictionary[SupervisedServer, Server] = WeakValueDictionary()

    def __call__(self, server: SupervisedServer) -> Server:
        """The handle of this server."""
        found = self._made.get(server)
        if found is None:
            self._made[server] = found = Server(server, self)
        return found


def engine_of(server: Server) -> SupervisedServer:
    """The server in the engine, for hostler's own programs."""
    return server._engine  # noqa: SLF001 - a part of it


async def sample_memory(servers: Iterable[Server]) -> None:
    """Sample what these servers use, by one look at the processes for all; `memory_points` then has it.

    No event tells it, unlike the samples at each server's `memory_interval`.
    """
    await note_memory([engine_of(server).run for server in servers])
