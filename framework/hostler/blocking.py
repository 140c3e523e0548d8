"""The library without async: one thread runs the loop and all spawns; each method has a blocking twin."""

from __future__ import annotations

import os
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, TypeVar

from anyio.from_thread import BlockingPortal, start_blocking_portal

from hostler.config import load
from hostler.events import Event
from hostler.model import Auth, Configuration, Endpoint, Line, ServerSpec, StreamEvent, StreamGap
from hostler.server import Server
from hostler.states import State
from hostler.supervisor import Supervisor

T = TypeVar("T")


class BlockingServer:
    """A server for programs without an event loop; each method is the twin of `Server`'s."""

    def __init__(self, server: Server, portal: BlockingPortal) -> None:
        self._server = server
        self._portal = portal

    def _read(self, name: str) -> Any:
        return self._portal.call(getattr, self._server, name)

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
    def uptime(self) -> float:
        """Seconds since the spawn of the present process."""
        return self._server.uptime

    @property
    def memory(self) -> int:
        """Resident memory of the whole process tree in bytes."""
        memory: int = self._read("memory")
        return memory

    @property
    def health(self) -> str:
        """What the health plugins say now."""
        health: str = self._read("health")
        return health

    @property
    def restarts(self) -> int:
        """How often it was restarted by itself."""
        return self._server.restarts

    @property
    def event_count(self) -> int:
        """How many events of its own event stream have been seen."""
        return self._server.event_count

    @property
    def error(self) -> Exception | None:
        """What made it crash or fail last."""
        return self._server.error

    def start(self) -> None:
        """See Server.start."""
        self._portal.call(self._server.start)

    def stop(self, *, force: bool = False) -> None:
        """See Server.stop."""
        self._portal.call(lambda: self._server.stop(force=force))

    def force_stop(self) -> None:
        """See Server.force_stop."""
        self._portal.call(self._server.force_stop)

    def restart(self, *, generation: int | None = None) -> None:
        """See Server.restart."""
        self._portal.call(lambda: self._server.restart(generation=generation))

    def wait_ready(self, timeout: float | None = None) -> None:
        """See Server.wait_ready."""
        self._portal.call(self._server.wait_ready, timeout)

    def wait_stopped(self) -> None:
        """See Server.wait_stopped."""
        self._portal.call(self._server.wait_stopped)

    def child_env(self, base: Mapping[str, str] | None = None) -> dict[str, str]:
        """See Server.child_env."""
        return self._portal.call(self._server.child_env, base)

    def events(self) -> Iterator[Event]:
        """See Server.events; the iterator blocks until there is one."""
        return _blocking(self._portal, self._server.events)

    def stream_events(self) -> Iterator[StreamEvent | StreamGap]:
        """See Server.stream_events; the iterator blocks until there is one."""
        return _blocking(self._portal, self._server.stream_events)

    def lines(self) -> Iterator[Line]:
        """See Server.lines; the iterator blocks until there is one."""
        return _blocking(self._portal, self._server.lines)


def _blocking(portal: BlockingPortal, subscribe: Callable[[], AsyncIterator[T]]) -> Iterator[T]:
    """Subscribe at once (not at the first `next`), and take item after item."""
    items = portal.call(subscribe)

    def take() -> Iterator[T]:
        while True:
            try:
                yield portal.call(items.__anext__)
            except StopAsyncIteration:
                return

    return take()


@contextmanager
def serve(
    configuration: Configuration | ServerSpec | str | os.PathLike[str], **options: Any
) -> Iterator[Mapping[str, BlockingServer]]:
    """Keep the servers of a configuration (or of its file) up while the block runs.

    Yields the servers by name; does not wait for them to be ready. `options` are those of Supervisor.
    """
    loaded = load(configuration) if isinstance(configuration, str | os.PathLike) else configuration

    with start_blocking_portal("asyncio") as portal:
        supervisor = portal.call(lambda: Supervisor(loaded, **options))

        with portal.wrap_async_context_manager(supervisor):
            yield {name: BlockingServer(server, portal) for name, server in supervisor.servers.items()}
