"""The servers of one supervisor with their lifecycles. The table changes as a whole, between two awaits."""

from __future__ import annotations

import asyncio
import os
import signal
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from pathlib import Path

import anyio
import anyio._backends._asyncio  # or the first start in a process would import it, for two thirds of its time
from anyio.abc import TaskGroup

from hostler.concurrency.flag import Flag
from hostler.engine.lifecycle import Lifecycle
from hostler.engine.server import SupervisedServer
from hostler.events.events import Event
from hostler.launching.resolved_inputs import StartInputs
from hostler.model.dependencies import as_needs
from hostler.model.graph import in_order
from hostler.model.spec import ServerSpec
from hostler.model.states import State
from hostler.process.context import SupervisorContext
from hostler.process.spawn.descriptor_limit import starts_at_a_time
from hostler.runtime.plugin_tasks import LAST_SECONDS

_WAVE = 16  # starts at a time, at most
_PATIENCE = 0.25  # seconds for which the next ones wait


class ServerRegistry(Mapping[str, SupervisedServer]):
    """The servers by name, in the configuration's order. Used on the event loop's thread."""

    def __init__(
        self,
        specs: Mapping[str, ServerSpec],
        context: SupervisorContext,
        listener: Callable[[Event], None],
        files: Sequence[Path] = (),
    ) -> None:
        self._files = tuple(files)
        self._context = context
        self._listener = listener
        self._takes_commands = False
        self._tasks: TaskGroup | None = None
        self._lifecycles: dict[str, Lifecycle] = {}
        self._scopes: dict[str, anyio.CancelScope] = {}
        self._changed = anyio.Event()
        self._inputs = StartInputs()
        self.servers: Mapping[str, SupervisedServer] = {}
        self.apply(specs)

    def __getitem__(self, name: str) -> SupervisedServer:
        if name not in self.servers:
            raise KeyError(f"no server {name!r}; there are: {', '.join(self.servers)}")
        return self.servers[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.servers)

    def __len__(self) -> int:
        return len(self.servers)

    @property
    def specs(self) -> dict[str, ServerSpec]:
        """What is configured of each."""
        return {name: server.spec for name, server in self.servers.items()}

    def read_from(self, files: Sequence[Path]) -> None:
        """Take note of the files that the configuration is read from now."""
        self._files = tuple(files)

    def inputs(self) -> Iterator[Path]:
        """What is read at a start or a reload of any server: no server in a sandbox may change it."""
        yield from dict.fromkeys((*self._files, *self._inputs.needed()))

    def inputs_of_starts(self) -> Mapping[Path, bool]:
        """Those of them that are read whenever a server starts, and whether they have to be there."""
        return self._inputs.needed()

    def holds(self, name: str) -> bool:
        """Whether we hold the lock of a server."""
        lifecycle = self._lifecycles.get(name)
        return lifecycle is not None and lifecycle.lock is not None and not self._context.affinity.forked

    def disown(self) -> None:
        """Release all locks in a forked child, so that only its parent holds them."""
        for lifecycle in self._lifecycles.values():
            if self._context.affinity.loop_runs_here:
                lifecycle.server.plugin_tasks.cancel()
            if lifecycle.lock is not None:
                lifecycle.lock.disown()
            launch = None if lifecycle.server.run is None else lifecycle.server.run.launch
            for function in () if launch is None else launch.fork_hooks:
                # A plugin's fault must not keep the child from releasing the rest.
                with suppress(Exception):
                    function()

    # -- who is there -------------------------------------------------------------------------

    def apply(self, specs: Mapping[str, ServerSpec]) -> None:
        """Have exactly these servers. Those that go or change must be at rest; all others are left alone.

        Raises InvalidConfiguration, and nothing has changed, when their needs do not fit together.
        """
        servers: dict[str, SupervisedServer] = {}

        for name in in_order(specs):
            needs = {need.server: servers[need.server] for need in as_needs(specs[name].needs)}
            servers[name] = self._server_for(specs[name], needs)

        gone = [name for name in self.servers if name not in servers]
        new = [name for name in specs if name not in self.servers]
        self.servers = {name: servers[name] for name in specs}
        self._inputs = StartInputs(self.specs.values())

        for name in gone:
            self._unregister(name)

        for name in new:
            self._register(servers[name])

        changed, self._changed = self._changed, anyio.Event()
        changed.set()

    def _server_for(self, spec: ServerSpec, needs: Mapping[str, SupervisedServer]) -> SupervisedServer:
        server = self.servers.get(spec.name)
        if server is None:
            return SupervisedServer(spec, self._context, needs, self._listener)
        if server.spec != spec:
            self._lifecycles[spec.name].reconfigure(spec, needs)
        return server

    def _register(self, server: SupervisedServer) -> None:
        self._lifecycles[server.name] = Lifecycle(server)
        server.desired.accept_commands(self._takes_commands)
        if self._tasks is not None:
            self._begin(server)

    def _begin(self, server: SupervisedServer) -> None:
        assert self._tasks is not None
        scope = self._scopes[server.name] = anyio.CancelScope()
        self._tasks.start_soon(_within, scope, self._lifecycles[server.name].run)

    def _unregister(self, name: str) -> None:
        self._lifecycles.pop(name).dismiss()
        # Before the supervisor is entered, no lifecycle has begun.
        if name in self._scopes:
            self._scopes.pop(name).cancel()

    # -- their lifecycles --------------------------------------------------------------------------

    def begin(self, tasks: TaskGroup) -> None:
        """Run their lifecycles in this task group, and those of servers that come later."""
        self._tasks = tasks
        tasks.start_soon(self._begin_in_waves, tuple(self.servers.values()))

    async def _begin_in_waves(self, servers: Sequence[SupervisedServer]) -> None:
        """Some at a time: the first is up early, and one whose turn has not come holds nothing."""
        # A wave is prepared in lockstep: of many the first one is alone, and waits for no other.
        size = starts_at_a_time(_WAVE)
        first = 1 if len(servers) > size else size
        for begin, end in pairwise((0, *range(first, len(servers), size), len(servers))):
            wave = [one for one in servers[begin:end] if self.servers.get(one.name) is one]
            for server in wave:
                self._begin(server)
            # The rest does not wait for one that is slow to start.
            with anyio.move_on_after(_PATIENCE if begin else _PATIENCE / 10):
                for server in wave:
                    await server.until(partial(_is_past_start, server))

    def accept_commands(self) -> None:
        """Accept commands for them, and for those that come later; start those with `autostart`."""
        self._set_takes_commands(True)
        self._warn_host()
        for server in self.servers.values():
            if server.spec.autostart:
                server.ask_up()

    def _warn_host(self) -> None:
        """Say what a host program has to do about its children: we set no signal handlers in it."""
        topic = text = ""

        if signal.getsignal(signal.SIGCHLD) is signal.SIG_IGN:
            topic, text = "exits_unknown", "this program ignores SIGCHLD, so no exit code can be known"
            text += "; signal.signal(signal.SIGCHLD, signal.SIG_DFL) before servers are started cures it"
        elif os.getpid() == 1 and signal.getsignal(signal.SIGCHLD) is signal.SIG_DFL:
            topic, text = "first_process", "this program is process 1, and reaps no orphans"
            text += ": they stay as zombies; start it under an init (docker run --init)"

        for server in tuple(self.servers.values())[:1] if topic else ():
            server.reporter.notice(topic, text, "warning")

    def refuse_commands(self) -> None:
        """Accept no more commands for them."""
        self._set_takes_commands(False)

    def _set_takes_commands(self, takes_commands: bool) -> None:
        self._takes_commands = takes_commands
        for server in self.servers.values():
            server.desired.accept_commands(takes_commands)

    async def stop(self, names: Iterable[str], *, force: bool = False, until_reloaded: bool = False) -> None:
        """Stop these, each after those that need it; raises the first error when all have been tried."""
        chosen = [self[name] for name in names]
        stops = {server: _Stop(server, force, until_reloaded) for server in chosen}
        for other in () if force else chosen:
            for server in stops.keys() & other.needs.values():
                stops[server].dependents.append(stops[other])
        await all_of(stop.run for stop in stops.values())

    async def finish_tasks(self) -> None:
        """Let plugins' tasks take the last events of their servers, within a bounded time."""
        last = {task for server in self.servers.values() for task in server.plugin_tasks.last}
        if last:
            await asyncio.wait(last, timeout=LAST_SECONDS + 1)  # what swallows its cancellation is left

    def kill_now(self) -> None:
        """Kill all that runs, without waiting for anything."""
        servers = list(self.servers.values())
        for server in servers:
            # No restart may follow, should the loop still run in another thread.
            server.desired.give_up()
        for server in servers:
            if server.run is not None:
                # Whatever is wrong with one, the others must still be killed.
                with suppress(Exception):
                    server.run.kill_now()

    async def changed(self, deadline: float) -> None:
        """Wait until servers come, go or change, or for the deadline (the event loop's clock)."""
        with anyio.CancelScope(deadline=deadline):
            await self._changed.wait()


def _is_past_start(server: SupervisedServer) -> bool:
    """Whether it was spawned or could not be, is not to start at all, or waits for others that it needs."""
    starts = server.state is State.STARTING or (server.state.at_rest and not server.is_settled())
    return not starts or bool(server.awaited)


async def _within(scope: anyio.CancelScope, work: Callable[[], Awaitable[None]]) -> None:
    with scope:
        await work()


class _Stop:
    """One of several servers that are stopped together; `tried` tells that its own stop is over."""

    def __init__(self, server: SupervisedServer, force: bool, until_reloaded: bool) -> None:
        self.dependents: list[_Stop] = []
        self._server = server
        self._force, self._until_reloaded = force, until_reloaded
        self.tried = Flag()

    async def run(self) -> None:
        """Stop it once that was tried with those that need it; not when one of them is wanted up again."""
        try:
            for other in self.dependents:
                # Not for its rest: it runs on where one that needs it was started again meanwhile.
                await other.tried.wait()
            if not any(other.is_wanted() for other in self.dependents):
                await self._server.take_down(force=self._force, until_reloaded=self._until_reloaded)
        finally:
            self.tried.set()

    def is_wanted(self) -> bool:
        """Whether it was started again meanwhile."""
        return self._server.desired.is_up and not self._server.is_settled()


async def all_of(calls: Iterable[Callable[[], Awaitable[None]]]) -> None:
    """Await all at the same time; when some fail, wait for the rest and raise the first failure.

    What the others failed with is in its notes.
    """
    results = await asyncio.gather(*(call() for call in calls), return_exceptions=True)
    failures = [result for result in results if isinstance(result, BaseException)]
    if failures:
        first, *others = dict.fromkeys(failures)
        for note in map(str, others):
            # One error may be raised several times, and would collect the same notes.
            if note not in getattr(first, "__notes__", ()):
                first.add_note(note)
        raise first
