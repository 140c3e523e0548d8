"""`with hostler.serve(...) as servers:` - the library for programs without an event loop."""

from __future__ import annotations

import os
import threading
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ContextDecorator
from types import TracebackType

from hostler.config.load import load
from hostler.config.source.overrides import Settings
from hostler.errors import ServerError
from hostler.process.disk.directories import Directories
from hostler.supervisor.configuration import ConfigurationSource
from hostler.supervisor.listener import Listener
from hostler.supervisor.supervisor import Supervisor
from hostler.sync.portal import LoopPortal
from hostler.sync.servers import BlockingSupervisor


class ServeContext(ContextDecorator, AbstractContextManager[BlockingSupervisor]):
    """What `serve` returns: keeps its servers up until it is left, dropped, or the program ends.

    It can be entered once. Leaving waits until nothing of the servers is left. One that is dropped
    without that has its servers stopped soon, and nobody is made to wait for it.
    """

    def __init__(self, prepare: Callable[[], Callable[[], Supervisor]]) -> None:
        self._prepare = prepare
        self._portal: LoopPortal | None = None
        self._entered_on = 0

    def __enter__(self) -> BlockingSupervisor:
        if self._portal is not None:
            raise ServerError("a block of hostler.serve can be entered once", hint="make a new one")
        self._entered_on = threading.get_ident()
        self._portal = portal = LoopPortal(self._prepare())
        supervisor = portal.enter()
        # At exit the portal closes by itself, and waits for its servers to stop.
        weakref.finalize(self, portal.drop).atexit = False
        return BlockingSupervisor(supervisor, portal)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._portal is not None
        if kind is GeneratorExit and threading.get_ident() != self._entered_on:
            # The garbage collector ends a generator, on whatever thread it runs.
            self._portal.drop()
        else:
            self._portal.close(cancel_calls=kind is not None)

    def _recreate_cm(self) -> ServeContext:
        return ServeContext(self._prepare)


def serve(
    configuration: ConfigurationSource,
    *,
    profiles: Iterable[str] = (),
    settings: Settings = (),
    namespace: str | None = None,
    directories: Directories | None = None,
    environ: Mapping[str, str] | None = None,
    listeners: Mapping[str, Listener] | None = None,
) -> AbstractContextManager[BlockingSupervisor]:
    """Supervise the servers of a configuration (or of its file) while the block runs.

    Yields the servers by name; does not wait for them to be ready. `profiles` and `settings` are those
    of `load`, for a file; the others are those of Supervisor.
    """

    def prepare() -> Callable[[], Supervisor]:
        given = configuration
        if isinstance(given, str | os.PathLike):
            given = load(given, profiles=profiles, settings=settings)
        elif profiles or settings:
            raise ServerError(
                "profiles and settings go with the path of a file", hint="give them to load(...)"
            )
        return lambda: Supervisor(
            given, namespace=namespace, directories=directories, environ=environ, listeners=listeners
        )

    return ServeContext(prepare)
