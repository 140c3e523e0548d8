"""A simulated host: its processes and ports, and supervisors that run on it."""

from __future__ import annotations

import os
import signal
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Mapping
from functools import partial

import anyio
from msgspec.structs import replace

from hostler.concurrency.event_loop import loop_time
from hostler.concurrency.flag import Flag
from hostler.errors import PortInUse
from hostler.model.choices import StopMode, StopOrder
from hostler.model.launch import Launch
from hostler.model.spec import Configuration, ServerSpec
from hostler.model.values import Endpoint, ProcessUsage
from hostler.process.context import SupervisorContext
from hostler.process.disk.directories import Directories
from hostler.process.disk.watchdog_client import OnLost, WatchdogClient
from hostler.process.net.ownership import Listener, ListenerKind
from hostler.process.spawn.exits import Process
from hostler.process.system import Processes
from hostler.process.tree.terminate import within
from hostler.process.tree.usage import TreeMemory
from hostler.supervisor.supervisor import Supervisor
from hostler.testing.simulation.child import Bound, FakeChild, impossible_pids
from hostler.testing.simulation.output import FakeOutputReader

_KILL_SECONDS = 2.0
_FIRST_PORT = 20_000
_STRANGER = 2**22


class _NoWatchdog(WatchdogClient):
    """Starts no watchdog: simulated processes end with this program."""

    def add(self, run_id: str, tell: OnLost) -> None:
        """List nothing."""


class SimulatedHost(Processes):
    """Everything outside of hostler except the disk. Use it inside `run_virtually`.

    `on_spawn` is called with each launch before its child is there, and may raise what a spawn would;
    `on_child` with each new child: it says what this one does. `children` are all that were
    ever spawned, oldest first. `strangers` are ports that other programs listen at. `chance` is the jitter.
    """

    def __init__(self, *, chance: float = 1.0) -> None:
        super().__init__()
        self.watchdog = _NoWatchdog()
        self.children: list[FakeChild] = []
        self.strangers: set[int] = set()
        self.on_spawn: Callable[[Launch], None] = lambda launch: None
        self.on_child: Callable[[FakeChild], None] = lambda child: None
        self.chance = chance
        self.output = FakeOutputReader()
        self._pids = impossible_pids()

    def supervisor(
        self,
        configuration: Configuration | ServerSpec | Iterable[ServerSpec],
        *,
        directories: Directories,
        namespace: str | None = None,
        environ: Mapping[str, str] | None = None,
    ) -> Supervisor:
        """A real Supervisor on this host. Locks and records are real files in `directories`."""
        return _SimulatedSupervisor(
            self, configuration, namespace=namespace, directories=directories, environ=environ
        )

    def children_of(self, server: str) -> list[FakeChild]:
        """All children that a server ever had, oldest first."""
        return [child for child in self.children if child.launch.server == server]

    def on_each_child(self, action: Callable[[FakeChild], None]) -> None:
        """Set `on_child`."""
        self.on_child = action

    # -- what the engine asks -----------------------------------------------------------------

    def spawn(
        self, launch: Launch, *, run_id: str, stdout_fd: int | None, stderr_fd: int | None
    ) -> FakeChild:
        """Make a child."""
        self.on_spawn(launch)
        child = FakeChild(launch, run_id, loop_time(), self._pids, self.output.captures[-1])
        self.children.append(child)
        self.on_child(child)
        return child

    async def stop(
        self,
        process: Process,
        *,
        grace: float,
        order: StopOrder | None = None,
        cut_short: Flag | None = None,
        on_refused: Callable[[int], None] | None = None,
    ) -> tuple[int, ...]:
        """The main process, the rest, SIGKILL; the pids that are left."""
        child = _fake(process)
        if grace > 0:
            await within(grace, cut_short, partial(_ask, child, order or StopOrder(), grace))
        if child.members:
            child.signal_tree(signal.SIGKILL)
            await within(_KILL_SECONDS, None, child.gone.wait)
        return tuple(sorted(child.members))

    def adopt_orphans(self) -> None:
        """Nothing to do: a simulated child leaves no real orphan."""

    def kill_now(self, process: Process) -> tuple[int, ...]:
        """SIGKILL at once; the pids that are left."""
        child = _fake(process)
        child.signal_tree(signal.SIGKILL)
        return tuple(sorted(child.members))

    def members(self, process: Process) -> list[int]:
        """The pids of the living tree."""
        return sorted(_fake(process).members)

    def memory(self, process: Process) -> TreeMemory:
        """Some memory for each member."""
        child = _fake(process)
        return TreeMemory(child.rss, len(child.members))

    async def memories(self, processes: Collection[Process]) -> AsyncIterator[TreeMemory]:
        """The same of each."""
        for process in processes:
            yield self.memory(process)

    async def usage(self, process: Process, *, shared_once: bool = False) -> tuple[ProcessUsage, ...]:
        """The same for each; no time of a processor."""
        child = _fake(process)
        return tuple(ProcessUsage(pid, "fake", child.rss // len(child.members)) for pid in child.members)

    def is_dying(self, pid: int) -> bool:
        """Whether it is gone: fakes die at once."""
        return not any(pid in child.members for child in self.children)

    def who_listens(self, endpoint: Endpoint, members: Callable[[], Collection[int]]) -> Listener:
        """Foreign listeners are found first, as by the real one."""
        if endpoint.port in self.strangers:
            return Listener(ListenerKind.FOREIGN, _STRANGER, "stranger", endpoint.host)
        bound = next((one for one in self._bound() if one.port == endpoint.port), None)
        if bound is None:
            return Listener(ListenerKind.NOBODY)
        kind = ListenerKind.OWN if bound.pid in members() else ListenerKind.FOREIGN
        return Listener(kind, bound.pid, "fake", bound.host)

    def listening_sockets(self, members: Collection[int]) -> list[Endpoint]:
        """Where these pids listen."""
        return [Endpoint(one.host, one.port, "tcp") for one in self._bound() if one.pid in members]

    def users(self, pids: Collection[int]) -> set[int]:
        """The user that the test runs as."""
        return {os.geteuid()}

    def hidden_users(self, pids: Collection[int]) -> set[int]:
        """None: all sockets are seen."""
        return set()

    def free_port(self, host: str, *, preferred: int | None, avoid: Collection[int]) -> int:
        """The preferred port or the lowest one that nobody has."""
        taken = {*avoid, *self._taken()}
        if preferred and preferred not in taken:
            return preferred
        return next(port for port in range(_FIRST_PORT, 2**16) if port not in taken)

    def check_port_free(self, host: str, port: int) -> None:
        """Raises PortInUse when the port is taken."""
        if port in self._taken():
            raise PortInUse(f"port {port} on {host} is in use", details={"port": port})

    def needs_only_time(self, host: str, port: int, *, reuse: bool) -> bool:
        """Never: no connections are made."""
        return False

    def _taken(self) -> set[int]:
        return self.strangers | {one.port for one in self._bound()}

    def _bound(self) -> list[Bound]:
        return [bound for child in self.children for bound in child.bound]


World = SimulatedHost  # deprecated


class _SimulatedSupervisor(Supervisor):
    """A Supervisor of servers on a SimulatedHost."""

    def __init__(
        self,
        host: SimulatedHost,
        configuration: Configuration | ServerSpec | Iterable[ServerSpec],
        **given: object,
    ) -> None:
        self._host = host
        super().__init__(configuration, **given)  # type: ignore[arg-type]

    def _make_context(
        self, namespace: str | None, directories: Directories | None, environ: Mapping[str, str] | None
    ) -> SupervisorContext:
        return replace(
            super()._make_context(namespace, directories, environ),
            processes=self._host,
            output=self._host.output,
            clock=loop_time,
            jitter=lambda: self._host.chance,
        )


async def _ask(child: FakeChild, order: StopOrder, grace: float) -> None:
    """Ask the child itself to end, and what it forked when it has, or has had half of the time."""
    main = {child.pid} & child.members
    if main:
        child.signal_tree(order.signal.number, main)
        if order.mode is StopMode.MAIN:
            with anyio.move_on_after(grace / 2):
                await child.wait()

    if rest := child.members - main:
        child.signal_tree(signal.SIGTERM, rest)

    if child.members:
        await child.gone.wait()


def _fake(process: Process) -> FakeChild:
    assert isinstance(process, FakeChild)
    return process
