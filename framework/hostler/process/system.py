"""Everything that the engine does with processes: the seam where `hostler.testing` puts its fakes in."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import partial

import anyio

from hostler.concurrency.threads import run_in_thread
from hostler.model.choices import StopOrder
from hostler.model.launch import Launch
from hostler.model.values import Endpoint, ProcessUsage
from hostler.process.disk.watchdog_client import WatchdogClient
from hostler.process.net.listeners import may_read_descriptors, user_of
from hostler.process.net.ownership import Listener, listening_sockets, who_listens
from hostler.process.net.ports import check_port_free, free_port, needs_only_time
from hostler.process.spawn.exits import Process
from hostler.process.spawn.spawn import spawn
from hostler.process.tree.members import find_tree
from hostler.process.tree.pending_sigkill import is_dying
from hostler.process.tree.snapshot import ProcessTableSnapshot
from hostler.process.tree.terminate import kill_tree_now, stop_tree
from hostler.process.tree.usage import TreeMemory, tree_memory, tree_usage


class Processes:
    """The processes of this machine. Errors and deadlines are those of the functions behind it.

    `watchdog` ends the servers with `guard = true` when this process dies.
    """

    def __init__(self) -> None:
        self._snapshot = ProcessTableSnapshot()
        self.watchdog = WatchdogClient()

    def spawn(self, launch: Launch, *, run_id: str, stdout_fd: int | None, stderr_fd: int | None) -> Process:
        """Start the command of a launch, watched by the running event loop."""
        return spawn(launch, run_id=run_id, stdout_fd=stdout_fd, stderr_fd=stderr_fd)

    async def stop(
        self,
        process: Process,
        *,
        grace: float,
        order: StopOrder | None = None,
        cut_short: anyio.Event | None = None,
        on_refused: Callable[[int], None] | None = None,
    ) -> tuple[int, ...]:
        """Stop a server's whole tree; the pids that could not be stopped."""
        return await stop_tree(
            process,
            grace=grace,
            cut_short=cut_short,
            snapshot=self._snapshot,
            order=order,
            on_refused=on_refused,
        )

    def kill_now(self, process: Process) -> tuple[int, ...]:
        """Kill a server's whole tree without the loop; the pids that were left."""
        return kill_tree_now(process)

    def members(self, process: Process) -> list[int]:
        """The pids of the living tree."""
        return [member.pid for member in find_tree(process, table=self._snapshot.look_now(process))]

    def memory(self, process: Process) -> TreeMemory:
        """How much memory the living tree uses."""
        return tree_memory(process, self._snapshot.look_now(process))

    async def memory_soon(self, process: Process) -> TreeMemory:
        """The same, by one look for all who ask at the same moment."""
        return tree_memory(process, await self._snapshot.look(process))

    async def usage(self, process: Process, *, shared_once: bool = False) -> tuple[ProcessUsage, ...]:
        """What each process of the living tree uses, the largest first."""
        table = await self._snapshot.look(process)
        if not shared_once:
            return tree_usage(process, table)
        return await run_in_thread(partial(tree_usage, shared_once=True), process, table)

    def is_dying(self, pid: int) -> bool:
        """Whether a process is about to be gone although it is still there."""
        return is_dying(pid)

    def who_listens(self, endpoint: Endpoint, members: Callable[[], Collection[int]]) -> Listener:
        """Who would answer at an endpoint."""
        return who_listens(endpoint, members)

    def listening_sockets(self, members: Collection[int]) -> list[Endpoint]:
        """Every TCP socket that these processes listen on."""
        return listening_sockets(members)

    def users(self, pids: Collection[int]) -> set[int]:
        """The users that these processes run as, where the system shows them."""
        return {user for pid in pids if (user := user_of(pid)) is not None}

    def hidden_users(self, pids: Collection[int]) -> set[int]:
        """The users of those whose sockets we may not see."""
        return self.users([pid for pid in pids if not may_read_descriptors(pid)])

    def free_port(self, host: str, *, preferred: int | None, avoid: Collection[int]) -> int:
        """A port that a server can bind now."""
        return free_port(host, preferred=preferred, avoid=avoid)

    def check_port_free(self, host: str, port: int) -> None:
        """Return when a server can bind this port; say why when it cannot."""
        check_port_free(host, port)

    def needs_only_time(self, host: str, port: int, *, reuse: bool) -> bool:
        """Whether a port is in use by nothing but connections that are not over yet."""
        return needs_only_time(host, port, reuse=reuse)
