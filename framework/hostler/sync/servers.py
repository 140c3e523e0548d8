"""The library without async: one thread runs the loop and all spawns; each method has a blocking twin."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime
from functools import partial
from pathlib import Path
from types import MappingProxyType

from hostler.engine.server import Server
from hostler.errors import ServerError
from hostler.events.crash import CrashRecord
from hostler.events.events import Event
from hostler.model.diff import Changes
from hostler.model.spec import ServerSpec
from hostler.model.states import State
from hostler.model.values import Auth, Endpoint, Line, StreamEvent, StreamGap
from hostler.supervisor.configuration import Given
from hostler.supervisor.essential import EssentialEnd
from hostler.supervisor.supervisor import Supervisor
from hostler.sync.portal import LoopPortal


class BlockingServer:
    """A server for programs without an event loop; each method is the twin of `Server`'s."""

    def __init__(self, server: Server, door: LoopPortal) -> None:
        self._server = server
        self._door = door

    @property
    def name(self) -> str:
        """The name in the configuration."""
        return self._server.name

    @property
    def spec(self) -> ServerSpec:
        """All that was configured."""
        return self._server.spec

    @property
    def state(self) -> State:
        """Where it is in its life."""
        return self._server.state

    @property
    def generation(self) -> int:
        """The number of the present run."""
        return self._server.generation

    @property
    def pid(self) -> int | None:
        """The pid of the spawned process, None without one."""
        return self._server.pid

    @property
    def endpoint(self) -> Endpoint | None:
        """Where it listens, once that is confirmed."""
        return self._server.endpoint

    @property
    def url(self) -> str | None:
        """The URL with the actual port, once that is confirmed."""
        return self._server.url

    @property
    def auth(self) -> Auth | None:
        """The credentials of this run, where a plugin set some."""
        return self._server.auth

    @property
    def facts(self) -> Mapping[str, object]:
        """What plugins noted about this run; empty before the spawn."""
        return self._server.facts

    @property
    def data_dir(self) -> Path:
        """Where logs and other outputs go."""
        return self._server.data_dir

    @property
    def cache_dir(self) -> Path:
        """hostler's cache, shared by all servers."""
        return self._server.cache_dir

    @property
    def state_dir(self) -> Path:
        """Where locks and run records are kept."""
        return self._server.state_dir

    @property
    def uptime(self) -> float:
        """Seconds since the spawn of the present process."""
        return self._server.uptime

    @property
    def memory(self) -> int:
        """Resident memory of the whole process tree in bytes."""
        memory: int = self._door.read(self._server, "memory")
        return memory

    @property
    def health(self) -> str:
        """What the health plugins say now."""
        health: str = self._door.read(self._server, "health")
        return health

    @property
    def completed(self) -> bool:
        """Whether the task has ended with exit code 0 since it was last started."""
        return self._server.completed

    @property
    def crashes(self) -> tuple[CrashRecord, ...]:
        """The records of its last ends that nobody asked for, oldest first."""
        crashes: tuple[CrashRecord, ...] = self._door.read(self._server, "crashes")
        return crashes

    @property
    def restarts(self) -> int:
        """How often it was restarted by itself."""
        return self._server.restarts

    @property
    def event_count(self) -> int:
        """How many events of its own event stream have been seen."""
        return self._server.event_count

    @property
    def skipped_events(self) -> int:
        """How many more came and were skipped, being larger than `max_event`."""
        return self._server.skipped_events

    @property
    def last_event_at(self) -> datetime | None:
        """When the last of them was seen (UTC)."""
        return self._server.last_event_at

    @property
    def error(self) -> ServerError | None:
        """What made it crash or fail last."""
        return self._server.error

    def start(self) -> None:
        """See Server.start."""
        self._door.call(self._server.start)

    def stop(self, *, force: bool = False) -> None:
        """See Server.stop."""
        self._door.call(lambda: self._server.stop(force=force))

    def force_stop(self) -> None:
        """See Server.force_stop."""
        self._door.call(self._server.force_stop)

    def restart(self, *, generation: int | None = None) -> None:
        """See Server.restart."""
        self._door.call(lambda: self._server.restart(generation=generation))

    def wait_ready(self, timeout: float | None = None) -> None:
        """See Server.wait_ready."""
        self._door.call(self._server.wait_ready, timeout)

    def wait_completed(self, timeout: float | None = None) -> None:
        """See Server.wait_completed."""
        self._door.call(self._server.wait_completed, timeout)

    def wait_stopped(self) -> None:
        """See Server.wait_stopped."""
        self._door.call(self._server.wait_stopped)

    def child_env(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """See Server.child_env."""
        env: dict[str, str] = self._door.call(self._server.child_env, base)
        return env

    def events(self) -> Iterator[Event]:
        """See Server.events; the iterator blocks until there is one."""
        return self._door.follow(self._server.events)

    def stream_events(self) -> Iterator[StreamEvent | StreamGap]:
        """See Server.stream_events; the iterator blocks until there is one."""
        return self._door.follow(self._server.stream_events)

    def lines(self, buffer: int = 4096) -> Iterator[Line]:
        """See Server.lines; the iterator blocks until there is one."""
        return self._door.follow(partial(self._server.lines, buffer))


class BlockingSupervisor(Mapping[str, BlockingServer]):
    """The servers by name, for programs without an event loop; each method is the twin of `Supervisor`'s."""

    def __init__(self, supervisor: Supervisor, door: LoopPortal) -> None:
        self._supervisor = supervisor
        self._door = door
        self._twins: dict[Server, BlockingServer] = {}

    @property
    def servers(self) -> Mapping[str, BlockingServer]:
        """The servers by name, in the configuration's order, as they are now."""
        servers = self._supervisor.servers
        return MappingProxyType({name: self._twin(server) for name, server in servers.items()})

    def __getitem__(self, name: str) -> BlockingServer:
        return self._twin(self._supervisor[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._supervisor.servers)

    def __len__(self) -> int:
        return len(self._supervisor)

    def _twin(self, server: Server) -> BlockingServer:
        return self._twins.setdefault(server, BlockingServer(server, self._door))

    def start(self, *names: str) -> None:
        """See Supervisor.start."""
        self._door.call(self._supervisor.start, *names)

    def wait_ready(self, *names: str, timeout: float | None = None) -> None:
        """See Supervisor.wait_ready."""
        self._door.call(lambda: self._supervisor.wait_ready(*names, timeout=timeout))

    def stop(self, *names: str, force: bool = False) -> None:
        """See Supervisor.stop."""
        self._door.call(lambda: self._supervisor.stop(*names, force=force))

    def wait(self) -> None:
        """See Supervisor.wait."""
        self._door.call(self._supervisor.wait)

    def add(self, what: str | ServerSpec, name: str | None = None, /, **parameters: object) -> BlockingServer:
        """See Supervisor.add."""
        return self._twin(self._door.call(lambda: self._supervisor.add(what, name, **parameters)))

    def remove(self, name: str) -> None:
        """See Supervisor.remove."""
        server = self._door.call(self._supervisor.__getitem__, name)
        self._door.call(self._supervisor.remove, name)
        self._twins.pop(server, None)

    def changes(self, configuration: Given) -> Changes:
        """See Supervisor.changes."""
        changes: Changes = self._door.call(self._supervisor.changes, configuration)
        return changes

    def reload(self, configuration: Given) -> Changes:
        """See Supervisor.reload."""
        changes: Changes = self._door.call(self._supervisor.reload, configuration)
        return changes

    @property
    def ended_by(self) -> EssentialEnd | None:
        """See Supervisor.ended_by."""
        return self._supervisor.ended_by

    def events(self) -> Iterator[Event]:
        """See Supervisor.events; the iterator blocks until there is one."""
        return self._door.follow(self._supervisor.events)

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """See Supervisor.listen; `listener` is called on the loop's thread, and must not call back."""
        end: Callable[[], None] = self._door.call(self._supervisor.listen, listener)
        return lambda: self._door.call(end)
