"""The library without async: one thread runs the loop and all spawns; each method has a blocking twin."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Mapping
from concurrent.futures import CancelledError
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from hostler.config import load
from hostler.crash_record import CrashRecord
from hostler.errors import ServerError
from hostler.essential import EssentialEnd
from hostler.events import Event
from hostler.model import Auth, Configuration, Endpoint, Line, ServerSpec, StreamEvent, StreamGap
from hostler.server import Server
from hostler.states import State
from hostler.supervisor import Supervisor

T = TypeVar("T")


class _Door:
    """The way to the loop's thread, shut when the block has ended."""

    def __init__(self, portal: BlockingPortal) -> None:
        self._portal = portal
        self.open = True

    def call(self, function: Callable[..., Any], *arguments: Any) -> Any:
        """Call a function, or await a coroutine function, over there."""
        if not self.open:
            raise ServerError("the block of hostler.serve has ended", hint="use its servers inside of it")

        return self._portal.call(function, *arguments)

    def read(self, thing: object, name: str) -> Any:
        """Read an attribute over there, or here when nothing runs any more."""
        return self.call(getattr, thing, name) if self.open else getattr(thing, name)

    def follow(self, subscribe: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
        """Subscribe at once (not at the first `next`), and take item after item."""
        items = self.call(subscribe)
        return self._take(items)

    def _take(self, items: AsyncIterator[T]) -> Iterator[T]:
        while True:
            try:
                item = self.call(items.__anext__) if self.open else _without_loop(items)
            except StopAsyncIteration:
                return
            except (RuntimeError, CancelledError):
                if self.open:
                    raise

                continue  # it was shut while we waited

            yield item


def _without_loop(items: AsyncIterator[T]) -> T:
    """The next item of a subscription that is closed: it does not wait any more, so it needs no loop."""
    step = items.__anext__()
    assert isinstance(step, Coroutine)

    try:
        step.send(None)
    except StopIteration as result:
        item: T = result.value
        return item

    raise AssertionError("a closed subscription waits")


class BlockingServer:
    """A server for programs without an event loop; each method is the twin of `Server`'s."""

    def __init__(self, server: Server, door: _Door) -> None:
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

    def lines(self) -> Iterator[Line]:
        """See Server.lines; the iterator blocks until there is one."""
        return self._door.follow(self._server.lines)


class BlockingSupervisor(Mapping[str, BlockingServer]):
    """The servers by name, for programs without an event loop; each method is the twin of `Supervisor`'s."""

    def __init__(self, supervisor: Supervisor, door: _Door) -> None:
        self._supervisor = supervisor
        self._door = door
        self._servers = {name: BlockingServer(server, door) for name, server in supervisor.servers.items()}

    @property
    def servers(self) -> Mapping[str, BlockingServer]:
        """The servers by name, in the configuration's order."""
        return MappingProxyType(self._servers)

    def __getitem__(self, name: str) -> BlockingServer:
        return self._servers[self._supervisor[name].name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._servers)

    def __len__(self) -> int:
        return len(self._servers)

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


@contextmanager
def serve(
    configuration: Configuration | ServerSpec | Iterable[ServerSpec] | str | os.PathLike[str],
    **options: Any,
) -> Iterator[BlockingSupervisor]:
    """Keep the servers of a configuration (or of its file) up while the block runs.

    Yields the servers by name; does not wait for them to be ready. `options` are those of Supervisor.
    """
    loaded = load(configuration) if isinstance(configuration, str | os.PathLike) else configuration

    with start_blocking_portal("asyncio", name="hostler") as portal:
        supervisor = portal.call(lambda: Supervisor(loaded, **options))
        door = _Door(portal)

        try:
            with portal.wrap_async_context_manager(supervisor):
                yield BlockingSupervisor(supervisor, door)
        finally:
            door.open = False
