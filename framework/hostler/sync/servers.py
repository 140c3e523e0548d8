"""The library without async: one thread runs the loop and all spawns; each method has a blocking twin."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator, Mapping
from datetime import datetime
from functools import partial, wraps
from pathlib import Path
from types import MappingProxyType
from typing import Any, Concatenate, Generic, Never, NoReturn, ParamSpec, Self, TypeVar, overload

from hostler.errors import ServerError
from hostler.events.crash import CrashRecord
from hostler.events.events import Event
from hostler.events.health import HealthReport
from hostler.model.diff import Changes
from hostler.model.spec import ServerSpec
from hostler.model.states import State
from hostler.model.values import Auth, Endpoint, Line, StreamEvent, StreamGap
from hostler.supervisor.configuration import ConfigurationSource
from hostler.supervisor.essential_servers import EssentialEnd
from hostler.supervisor.handle import Server
from hostler.supervisor.supervisor import Supervisor
from hostler.sync.portal import LoopPortal

A = TypeVar("A")
P = ParamSpec("P")
T = TypeVar("T")


class Twin(Generic[A]):
    """The blocking face of an object that belongs to the loop's thread."""

    def __init__(self, original: A, portal: LoopPortal) -> None:
        self._original = original
        self._portal = portal


class Attribute(property, Generic[T]):
    """A property with the value that the original has; one that has to be worked out is `read_there`."""

    def __init__(self, doc: str, *, read_there: bool = False) -> None:
        super().__init__()
        self.__doc__ = doc
        self._read_there = read_there

    def __set_name__(self, owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, twin: None, owner: type, /) -> Self: ...

    @overload
    def __get__(self, twin: Any, owner: type | None = None, /) -> T: ...

    def __get__(self, twin: Any, owner: type | None = None, /) -> Any:
        if twin is None:
            # help() takes the sentence from the property itself.
            return self
        original, portal = twin._original, twin._portal  # noqa: SLF001 - this is a part of the twin
        return portal.read(original, self._name) if self._read_there else getattr(original, self._name)

    def __set__(self, twin: Any, value: Never) -> NoReturn:  # for type checkers, too
        raise AttributeError(f"{self._name} can only be read")


def blocking(method: Callable[Concatenate[A, P], Awaitable[T]]) -> Callable[Concatenate[Twin[A], P], T]:
    """The twin of a coroutine function: it returns when that has ended."""

    @wraps(method)
    def call(self: Twin[A], /, *arguments: P.args, **named: P.kwargs) -> T:
        result: T = self._portal.call(partial(method, self._original, *arguments, **named))
        return result

    return call


class BlockingServer(Twin[Server]):
    """A server for programs without an event loop; each method is the twin of `Server`'s."""

    name = Attribute[str]("The name in the configuration.")
    spec = Attribute[ServerSpec]("All that was configured.")
    state = Attribute[State]("Where it is in its life.")
    generation = Attribute[int]("The number of the present run.")
    pid = Attribute[int | None]("The pid of the spawned process, None without one.")
    endpoint = Attribute[Endpoint | None]("Where it listens, once that is confirmed.")
    url = Attribute[str | None]("The URL with the actual port, once that is confirmed.")
    auth = Attribute[Auth | None]("The credentials of this run, where a plugin set some.")
    facts = Attribute[Mapping[str, object]]("What plugins noted about this run; empty before the spawn.")
    data_dir = Attribute[Path]("Where logs and other outputs go.")
    cache_dir = Attribute[Path]("hostler's cache, shared by all servers.")
    state_dir = Attribute[Path]("Where locks and run records are kept.")
    uptime = Attribute[float]("Seconds since the spawn of the present process.")
    memory = Attribute[int]("Resident memory of the whole process tree in bytes.", read_there=True)
    health = Attribute[str]("What the health plugins say now.", read_there=True)
    reports = Attribute[Mapping[str, HealthReport]]("What each health plugin reported last.", read_there=True)
    completed = Attribute[bool]("Whether the task has ended with exit code 0 since it was last started.")
    crashes = Attribute[tuple[CrashRecord, ...]](
        "The records of its last unexpected exits, oldest first.", read_there=True
    )
    restarts = Attribute[int]("How often it was restarted by itself.")
    event_count = Attribute[int]("How many events of its own event stream have been seen.")
    skipped_events = Attribute[int]("How many more came and were skipped, being larger than `max_event`.")
    last_event_at = Attribute[datetime | None]("When the last of them was seen (UTC).")
    error = Attribute[ServerError | None]("What made it crash or fail last.")

    start = blocking(Server.start)
    stop = blocking(Server.stop)
    force_stop = blocking(Server.force_stop)
    restart = blocking(Server.restart)
    wait_ready = blocking(Server.wait_ready)
    wait_completed = blocking(Server.wait_completed)
    wait_stopped = blocking(Server.wait_stopped)
    wait_for = blocking(Server.wait_for)

    def ensure(self, timeout: float | None = None) -> Self:
        """See Server.ensure."""
        self._portal.call(self._original.ensure, timeout)
        return self

    def __repr__(self) -> str:
        return repr(self._original).replace("<", "<Blocking", 1)

    def child_env(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """See Server.child_env."""
        env: dict[str, str] = self._portal.call(self._original.child_env, base)
        return env

    def events(self) -> Iterator[Event]:
        """See Server.events; the iterator blocks until there is one."""
        return self._portal.follow(self._original.events)

    def stream_events(self) -> Iterator[StreamEvent | StreamGap]:
        """See Server.stream_events; the iterator blocks until there is one."""
        return self._portal.follow(self._original.stream_events)

    def lines(self, buffer: int = 4096) -> Iterator[Line]:
        """See Server.lines; the iterator blocks until there is one."""
        return self._portal.follow(partial(self._original.lines, buffer))


class BlockingSupervisor(Twin[Supervisor], Mapping[str, BlockingServer]):
    """The servers by name, for programs without an event loop; each method is the twin of `Supervisor`'s."""

    def __init__(self, supervisor: Supervisor, portal: LoopPortal) -> None:
        super().__init__(supervisor, portal)
        self._twins: dict[Server, BlockingServer] = {}

    @property
    def servers(self) -> Mapping[str, BlockingServer]:
        """The servers by name, in the configuration's order, as they are now."""
        servers = self._original.servers
        return MappingProxyType({name: self._twin(server) for name, server in servers.items()})

    def __getitem__(self, name: str) -> BlockingServer:
        return self._twin(self._original[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._original.servers)

    def __len__(self) -> int:
        return len(self._original)

    def _twin(self, server: Server) -> BlockingServer:
        return self._twins.setdefault(server, BlockingServer(server, self._portal))

    start = blocking(Supervisor.start)
    wait_ready = blocking(Supervisor.wait_ready)
    stop = blocking(Supervisor.stop)
    wait = blocking(Supervisor.wait)

    def add(self, what: str | ServerSpec, name: str | None = None, /, **parameters: object) -> BlockingServer:
        """See Supervisor.add."""
        return self._twin(self._portal.call(lambda: self._original.add(what, name, **parameters)))

    def remove(self, name: str) -> None:
        """See Supervisor.remove."""
        server = self._portal.call(self._original.__getitem__, name)
        self._portal.call(self._original.remove, name)
        self._twins.pop(server, None)

    def adopt_orphans(self) -> None:
        """See Supervisor.adopt_orphans."""
        self._portal.call(self._original.adopt_orphans)

    def raise_descriptor_limit(self) -> Callable[[], list[str]]:
        """See Supervisor.raise_descriptor_limit."""
        prefix: Callable[[], list[str]] = self._portal.call(self._original.raise_descriptor_limit)
        return prefix

    def changes(self, configuration: ConfigurationSource) -> Changes:
        """See Supervisor.changes."""
        changes: Changes = self._portal.call(self._original.changes, configuration)
        return changes

    reload = blocking(Supervisor.reload)
    ended_by = Attribute[EssentialEnd | None]("See Supervisor.ended_by.")
    templates = Attribute[Mapping[str, Callable[..., ServerSpec]]]("See Supervisor.templates.")
    dropped_events = Attribute[int]("See Supervisor.dropped_events.")

    def events(self) -> Iterator[Event]:
        """See Supervisor.events; the iterator blocks until there is one."""
        return self._portal.follow(self._original.events)

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """See Supervisor.listen; `listener` is called on the loop's thread, and must not call back."""
        end: Callable[[], None] = self._portal.call(self._original.listen, listener)
        return lambda: self._portal.call(end)
