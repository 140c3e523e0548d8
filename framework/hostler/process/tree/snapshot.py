"""One look at the process table for all who want one at the same moment."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Iterable

from hostler.concurrency.threads import run_in_thread
from hostler.process.spawn.exits import Process
from hostler.process.tree.process_table import Table, read_table


class ProcessTableSnapshot:
    """Shares looks at the process table, so that stopping 500 servers at once takes a few of them."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, float]] = {}
        self._next: asyncio.Future[Table] | None = None
        self._asked: list[Process] = []
        self._leaders: dict[int, Process] = {}

    def note_leader(self, process: Process) -> None:
        """Leave a server's own process out of the looks for others, as long as its pid is not reaped."""
        # We have started it, in a session of its own: it can be no member of another's tree.
        self._leaders[process.pid] = process

    async def look(self, process: Process) -> Table:
        """Look at the processes that may belong to this server. Raises OSError when /proc cannot be read."""
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            loop.call_soon(self._take)  # not at once: whoever asks in the same turn of the loop shares it
        self._asked.append(process)
        # Who is cancelled does not take the look away from the others.
        return await asyncio.shield(self._next)

    def look_now(self, process: Process) -> Table:
        """The same, without waiting for others."""
        return self._read([process])

    async def look_aside(self, processes: Iterable[Process]) -> Table:
        """Look at all of these on a thread, for who may wait: thousands take 0.1 s. Raises OSError."""
        since = min((process.start_time for process in processes), default=math.inf)
        return await run_in_thread(_read_all, since, abandon_on_cancel=True)

    def _take(self) -> None:
        future, asked = self._next, self._asked
        # Emptied first: who asks from now on wants a look that is begun later.
        self._next, self._asked = None, []
        assert future is not None
        try:
            future.set_result(self._read(asked))
        except OSError as error:
            future.set_exception(error)

    def _read(self, asked: list[Process]) -> Table:
        for pid in [pid for pid, leader in self._leaders.items() if leader.reaped]:
            del self._leaders[pid]
        others = self._leaders.keys() - {process.pid for process in asked}
        table = read_table(min(process.start_time for process in asked), self._seen, others)
        table.spare(self._leaders)
        return table


def _read_all(since: float) -> Table:
    table = read_table(since)
    table.read_marks(since)  # here, rather than by the first who asks for them, on the loop
    return table
