"""Everything that the engine does with processes: the seam where `hostler.testing` puts its fakes in."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import AsyncIterator, Callable, Collection
from functools import partial

from hostler.concurrency.flag import Flag
from hostler.concurrency.threads import run_in_thread
from hostler.model.choices import StopOrder
from hostler.model.launch import Launch
from hostler.model.values import ProcessUsage
from hostler.process.disk.watchdog_client import WatchdogClient
from hostler.process.net.listeners import may_read_descriptors, user_of
from hostler.process.net.ownership import listening_sockets, who_listens
from hostler.process.net.ports import check_port_free, free_port, needs_only_time
from hostler.process.spawn.descriptor_limit import DescriptorLimit
from hostler.process.spawn.environment import MARKER
from hostler.process.spawn.exits import Process
from hostler.process.spawn.spawn import spawn
from hostler.process.tree.members import find_tree
from hostler.process.tree.process_table import is_dying
from hostler.process.tree.reaper import adopt_orphans
from hostler.process.tree.snapshot import ProcessTableSnapshot
from hostler.process.tree.terminate import kill_tree_now, stop_tree
from hostler.process.tree.usage import TreeMemory, tree_memory, tree_usage


class Processes:
    """The processes of this machine. Errors and deadlines are those of the functions behind it.

    `watchdog` ends the servers with `guard = true` when this process dies. `descriptors` is its limit.
    """

    # What keeps nothing from call to call is the function itself.
    kill_now = staticmethod(kill_tree_now)
    is_dying = staticmethod(is_dying)
    who_listens = staticmethod(who_listens)
    listening_sockets = staticmethod(listening_sockets)
    check_port_free = staticmethod(check_port_free)
    needs_only_time = staticmethod(needs_only_time)

    def __init__(self) -> None:
        self._snapshot = ProcessTableSnapshot()
        self.descriptors = DescriptorLimit()
        self.watchdog = WatchdogClient()

    def spawn(self, launch: Launch, *, run_id: str, stdout_fd: int | None, stderr_fd: int | None) -> Process:
        """Start the command of a launch."""
        is_server, nofile = MARKER not in launch.host_env, self.descriptors.option
        # A command stays a child of the main thread: `shows_nobody` has to see it.
        popen = self.descriptors.popen if is_server else subprocess.Popen
        process = spawn(
            launch, run_id=run_id, stdout_fd=stdout_fd, stderr_fd=stderr_fd, nofile=nofile, popen=popen
        )
        self.descriptors.note(process.exit_fd)
        if is_server:  # a command that was started for one is a member of its tree
            self._snapshot.note_leader(process)
        return process

    def adopt_orphans(self) -> None:
        """Become the parent of what dead servers leave, which is then to be reaped; where it can be."""
        if adopt_orphans():
            self._snapshot.note_adopting(lambda: (self.watchdog.pid,))

    async def stop(
        self,
        process: Process,
        *,
        grace: float,
        order: StopOrder | None = None,
        cut_short: Flag | None = None,
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

    def members(self, process: Process) -> list[int]:
        """The pids of the living tree."""
        return [member.pid for member in find_tree(process, table=self._snapshot.look_now(process))]

    def memory(self, process: Process) -> TreeMemory:
        """How much memory the living tree uses."""
        return tree_memory(process, self._snapshot.look_now(process))

    async def memories(self, processes: Collection[Process]) -> AsyncIterator[TreeMemory]:
        """The same of each, by one look for all; the event loop goes on meanwhile. Raises OSError."""
        table = await self._snapshot.look_aside(processes)
        for process in processes:
            yield tree_memory(process, table)
            await asyncio.sleep(0)  # 2,000 in one turn of the loop would hold it up for 0.2 s

    async def usage(self, process: Process, *, shared_once: bool = False) -> tuple[ProcessUsage, ...]:
        """What each process of the living tree uses, the largest first."""
        table = await self._snapshot.look(process)
        if not shared_once:
            return tree_usage(process, table)
        return await run_in_thread(partial(tree_usage, shared_once=True), process, table)

    def free_port(self, host: str, *, preferred: int | None, avoid: Collection[int]) -> int:
        """A port that a server can bind now."""
        return free_port(host, preferred=preferred, avoid=avoid)

    def users(self, pids: Collection[int]) -> set[int]:
        """The users that these processes run as, where the system shows them."""
        return {user for pid in pids if (user := user_of(pid)) is not None}

    def hidden_users(self, pids: Collection[int]) -> set[int]:
        """The users of those whose sockets we may not see."""
        return self.users([pid for pid in pids if not may_read_descriptors(pid)])
