"""Several servers together: their order, start, stop and events."""

from __future__ import annotations

import asyncio
import atexit
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from types import MappingProxyType, TracebackType
from typing import Literal, Self

import anyio

from hostler.concurrency.broadcast import Broadcast
from hostler.errors import ServerError
from hostler.events.events import Event, events_dropped
from hostler.model.diff import Changes
from hostler.model.spec import ServerSpec
from hostler.model.states import State
from hostler.process.context import SupervisorContext
from hostler.process.disk.directories import Directories
from hostler.records.crash_store import CrashStore
from hostler.records.status_store import StatusStore
from hostler.supervisor.configuration import ConfigurationSource, configuration_of
from hostler.supervisor.context import make_context
from hostler.supervisor.essential_servers import EssentialEnd, Essentials
from hostler.supervisor.handle import Handles, Server
from hostler.supervisor.leftovers import removed_leftovers
from hostler.supervisor.listener import Listener, ListenerSetting
from hostler.supervisor.listeners import ListenerTasks
from hostler.supervisor.memory_sampler import sample_memory
from hostler.supervisor.recorder import StateRecorder
from hostler.supervisor.registry import ServerRegistry, all_of
from hostler.supervisor.reload import Reloader


class Supervisor:
    """Supervises the servers of one configuration, between `async with` and its end.

    It is given as specs, the path of a file, or a mapping as in one. `listeners`, by name, follow all events.
    `supervisor["web"]` is one of its servers, and iterating gives their names.

    On entering, the servers with `autostart` are asked to be up (this does not wait for them); on
    leaving, all are stopped, those that need others first, and nothing of them is left. It can be entered
    once. All of it runs in tasks of its own: no cancellation of the host's task loses the clean-up. Signal
    handlers and os.environ are left alone.
    """

    def __init__(
        self,
        configuration: ConfigurationSource,
        *,
        namespace: str | None = None,
        directories: Directories | None = None,
        environ: Mapping[str, str] | None = None,
        listeners: Mapping[str, Listener] | None = None,
    ) -> None:
        given = configuration_of(configuration, environ)
        place = namespace or given.namespace
        self._channel: Broadcast[Event] = Broadcast(limit=8192, gap=events_dropped)
        self._engine: asyncio.Task[None] | None = None
        self._closing = asyncio.Event()
        self._context = self._make_context(place, directories, environ)
        setting = ListenerSetting(self._publish, self._context.live_env)
        self._observers = ListenerTasks(given.listeners, listeners or {}, setting)
        self._registry = ServerRegistry(given.servers, self._context, self._publish, given.files)
        # Without a namespace no other process could find the statuses.
        statuses = None if place is None else StatusStore(self._context.data_dir)
        crashes = CrashStore(self._context.data_dir)
        self._recorder = StateRecorder(self._registry, crashes, statuses, self._registry.holds)
        self._reloader = Reloader(self._registry, self._observers, given.templates, self._is_open)
        self._essentials = Essentials(self._registry, self.stop)
        self._handle = Handles()
        self._listeners: list[Callable[[Event], None]] = [self._recorder.on_event, self._essentials.on_event]

    def _make_context(
        self, namespace: str | None, directories: Directories | None, environ: Mapping[str, str] | None
    ) -> SupervisorContext:
        return make_context(namespace, directories, environ, lambda: self._registry)

    def adopt_orphans(self) -> None:
        """Make this process the parent of what dead servers leave behind, as `hostler run` is; on Linux.

        A restart then costs the same whatever else the machine runs. It lasts as long as the process,
        which has to reap the children that it did not start, as pid 1 does. Elsewhere nothing happens.
        """
        self._context.processes.adopt_orphans()

    def raise_descriptor_limit(self) -> Callable[[], list[str]]:
        """Let this process open files up to its hard limit once it needs to, on Linux with `prlimit`.

        Servers keep its soft limit, and so do your own commands behind the words that the result gives.
        """
        self._context.processes.descriptors.allow()
        return self._context.processes.descriptors.prefix

    # -- what there is ------------------------------------------------------------------------

    @property
    def servers(self) -> Mapping[str, Server]:
        """The servers by name, in the configuration's order, as they are now."""
        return MappingProxyType({name: self._handle(server) for name, server in self._registry.items()})

    def __getitem__(self, name: str) -> Server:
        return self._handle(self._registry[name])

    def __iter__(self) -> Iterator[str]:
        return iter(self._registry)

    def __len__(self) -> int:
        return len(self._registry)

    def events(self) -> AsyncIterator[Event]:
        """Every event of every server from now on; ends with the supervisor."""
        self._context.affinity.check()
        return self._channel.subscribe()

    def listen(self, listener: Callable[[Event], None]) -> Callable[[], None]:
        """Have `listener` called with every event at once, on the loop's thread; returns how to end that.

        What it raises goes to the loop's exception handler, and nowhere else.
        """
        self._listeners.append(listener)
        return lambda: self._listeners.remove(listener)

    @property
    def dropped_events(self) -> int:
        """How many events somebody was too slow for who follows those of all servers, listeners included."""
        return self._channel.dropped

    # -- commands -----------------------------------------------------------------------------

    async def start(self, *names: str) -> None:
        """Start these servers (all, without names) and what they need; wait until they are spawned."""
        self._context.affinity.check()
        await all_of(partial(self._start_one, self[name]) for name in names or self)

    async def _start_one(self, server: Server) -> None:
        if server.state is not State.RUNNING or server.end_asked:
            await server.start()

    async def wait_ready(self, *names: str, timeout: float | None = None) -> None:
        """Wait until these servers (all that are wanted, without names) may be used; errors as in Server."""
        wanted = names or tuple(name for name, server in self._registry.items() if server.spec.autostart)
        await all_of(partial(self[name].wait_ready, timeout) for name in wanted)

    async def stop(self, *names: str, force: bool = False) -> None:
        """Stop these servers (all, without names), each after those that need it; errors as in Server."""
        if force and self._closing.is_set():
            self._observers.hurry()
        await self._registry.stop(names or tuple(self), force=force)

    async def wait(self) -> None:
        """Wait until no server does anything any more: all stopped or failed, or all that can be stopped.

        So it ends when an essential server has ended, and all others are stopped.
        """
        over = self._essentials.is_over
        self._context.affinity.check()
        await self._reloader.finished()
        while busy := [server for server in self._registry.values() if not over(server)]:
            await busy[0].until(partial(over, busy[0]))
            # A reload may have stopped it only to start it again.
            await self._reloader.finished()

    @property
    def ended_by(self) -> EssentialEnd | None:
        """The essential server that has ended for good, and the exit code of the run; else None."""
        return self._essentials.ended_by

    # -- changes ------------------------------------------------------------------------------

    @property
    def templates(self) -> Mapping[str, Callable[..., ServerSpec]]:
        """What `add` makes servers of, by name; called as those of Configuration, each gives a spec."""
        return self._reloader.templates

    async def add(self, what: str | ServerSpec, name: str | None = None, /, **parameters: object) -> Server:
        """Add a server: of the template `what`, called `name`, with these parameters; or of a spec.

        With `autostart` it is started, which this does not wait for. Raises InvalidConfiguration for
        an unknown template or parameter and for what does not fit together, ServerError for a name
        that is in use and when the supervisor does not run or is about to end.
        """
        return self._handle(await self._reloader.add(what, name, parameters))

    async def remove(self, name: str) -> None:
        """Stop a server, wait until nothing of it is left, and forget it.

        Raises KeyError for an unknown name, ServerError when others need it and when the supervisor
        does not run, and ForceKillTimeout when something outlives SIGKILL: then it is still there.
        """
        await self._reloader.remove(name)

    def changes(self, configuration: ConfigurationSource) -> Changes:
        """What a reload of this configuration would change. Raises InvalidConfiguration as it would."""
        return self._reloader.preview(configuration)

    async def reload(
        self,
        configuration: ConfigurationSource,
        *,
        when: Literal["now", "idle"] | None = None,
        within: float | str = 600.0,
    ) -> Changes:
        """Take another configuration: restart what changes, add and remove servers, leave all others alone.

        A changed server that is up is stopped and asked up again, which this does not wait for; one at rest
        just takes what is new. What `add` has added stays, unless the configuration has its name, and so do
        listeners that the program gave. Raises InvalidConfiguration, and nothing changes, when needs do not
        fit together; ForceKillTimeout, and all comes back as it was, when something cannot be stopped.

        A running server is restarted at once, or in a quiet moment if its `restart.wait_idle` says so; a
        notice reports one that was never idle. With `when="idle"` each waits up to `within`, and so does
        this; RestartNotIdle when one was never idle. None holds up the others. It then keeps what it had. A
        later reload takes the place of what still waits.
        """
        return await self._reloader.reload(configuration, when, within)

    def _is_open(self) -> bool:
        self._context.affinity.check()
        return self._engine is not None and not self._closing.is_set() and not self._engine.done()

    # -- life ---------------------------------------------------------------------------------

    async def __aenter__(self) -> Self:
        if self._engine is not None:
            raise ServerError("a Supervisor can be entered once", hint="make a new one")
        self._context.affinity.enter(self._disown_in_child)
        self._observers.begin(self._channel)
        # A task of its own: a cancellation of the host's task must not end the clean-up.
        self._engine = asyncio.create_task(self._run(), name="hostler")
        atexit.register(self._kill_now)
        self._registry.accept_commands()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Stop all servers and end; what leaving `async with` does. Cancelling the caller delays nothing."""
        if self._engine is None or self._context.affinity.forked:
            return

        self._context.affinity.check()
        self._registry.refuse_commands()
        self._closing.set()
        cancelled: asyncio.CancelledError | None = None

        # The shield keeps anyio's cancellation out; a native one goes through it.
        with anyio.CancelScope(shield=True):
            while not self._engine.done():
                try:
                    await asyncio.wait({self._engine})
                except asyncio.CancelledError as error:
                    cancelled = error

        if cancelled is not None:
            raise cancelled

        self._engine.result()

    async def _run(self) -> None:
        failure: ServerError | None = None

        try:
            for notice in await removed_leftovers(self._context, next(iter(self), "")):
                self._publish(notice)
            async with anyio.create_task_group() as tasks:
                self._registry.begin(tasks)
                tasks.start_soon(sample_memory, self._registry, self._registry.changed)
                tasks.start_soon(self._context.processes.watchdog.watch)
                tasks.start_soon(self._essentials.watch)
                await self._closing.wait()
                self._reloader.end_waiting()
                try:
                    await self.stop()
                    await self._reloader.finished()
                except ServerError as error:  # raised below: from in here it would come as a group
                    failure = error
                finally:
                    tasks.cancel_scope.cancel()
            await self._registry.finish_tasks()
            await self._recorder.close()
            await self._observers.close()
        finally:
            self._end()

        if failure is not None:
            raise failure

    def _end(self) -> None:
        self._registry.refuse_commands()
        atexit.unregister(self._kill_now)
        with ExitStack() as ends:  # the last one first, and each of them whatever another raises
            ends.callback(self._channel.close)
            for server in self._registry.values():
                ends.callback(server.reporter.close)
            ends.callback(self._recorder.end)  # not before: who is killed below is on record as stopped
            if not self._context.affinity.forked:
                ends.callback(self._context.output.close)
                ends.callback(self._context.affinity.leave)
                self._kill_now()

    def _kill_now(self) -> None:
        if not self._context.affinity.forked:
            self._registry.kill_now()
            self._context.processes.watchdog.close()

    def _disown_in_child(self) -> None:
        """Have a forked child own nothing: no lock, no watchdog, and no task that runs on in it."""
        self._registry.disown()
        self._context.processes.watchdog.disown()
        if self._engine is not None and self._context.affinity.loop_runs_here:
            self._engine.cancel()
            self._observers.cancel()

    def _publish(self, event: Event) -> None:
        self._channel.publish(event)
        for listener in list(self._listeners):
            try:
                listener(event)
            except Exception as error:  # noqa: BLE001 - a listener's fault must not end a server's life
                context = {"message": "a listener of hostler's events failed", "exception": error}
                asyncio.get_running_loop().call_exception_handler(context)
