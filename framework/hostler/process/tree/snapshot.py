"""One look at the process table for all who want one at the same moment."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress

from hostler.concurrency.threads import run_in_thread
from hostler.process.spawn.cgroups import pids_in
from hostler.process.spawn.exits import Process
from hostler.process.tree.process_table import Table, read_row, read_subtrees, read_table
from hostler.process.tree.procfs import doubt, list_children
from hostler.process.tree.run_mark import limit_mark, read_mark


class ProcessTableSnapshot:
    """Shares looks at the process table, so that stopping 500 servers at once takes a few of them."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, float]] = {}
        self._asked: list[tuple[Process, asyncio.Future[Table]]] = []
        self._leaders: dict[int, Process] = {}
        # When our children were looked at last and nobody was left by those who had ended before.
        self._nobody_at = -math.inf
        self._helpers: Callable[[], Collection[int | None]] | None = None

    def note_adopting(self, helpers: Callable[[], Collection[int | None]]) -> None:
        """Rely on it that what a dead server leaves becomes our child; `helpers` are children of our own."""
        self._helpers = helpers

    def note_leader(self, process: Process) -> None:
        """Leave a server's own process out of the looks for others, as long as its pid is not reaped."""
        # We have started it, in a session of its own: it can be no member of another's tree.
        self._leaders[process.pid] = process

    def shows_nobody(self, process: Process) -> bool:
        """Whether a dead server has certainly left nobody, by our children alone; False where unknown."""
        if not self._has_left_all_to_us(process):
            return False
        if process.reaped_at < self._nobody_at:
            return True  # hundreds that end together cost a few looks at hundreds of children, not hundreds

        seen, begun = set[int](), time.monotonic()
        self._forget_reaped()
        try:
            # Who ended under our eyes may have left a child that was not in the list yet.
            while (children := set(list_children())) != seen:
                if any(True for _ in self._unknown(children)):
                    return False
                seen = children
        except OSError:
            return False
        self._nobody_at = begun
        return True

    def _has_left_all_to_us(self, process: Process) -> bool:
        """Whether all that a server may have left descends from us, where we see it."""
        adopts = self._helpers is not None and process.reaped
        return adopts and not pids_in(process.cgroup) and not doubt()

    def _unknown(self, children: Collection[int]) -> Iterator[int]:
        """Those of our children that may be members of a dead server's tree. Raises OSError."""
        assert self._helpers is not None
        helpers, own_session, marks = self._helpers(), os.getsid(0), set[int]()
        for pid in set(children) - self._leaders.keys():
            # Servers have sessions of their own: in ours are the companion and what plugins start.
            if pid in helpers or read_row(pid) is None or os.getsid(pid) == own_session:
                continue
            marks = marks or {limit_mark(one.run_id) for one in self._leaders.values()}
            if read_mark(pid) not in marks:
                yield pid

    def _forget_reaped(self) -> None:
        """Forget the leaders whose pids may be those of others by now."""
        for pid in [pid for pid, leader in self._leaders.items() if leader.reaped]:
            del self._leaders[pid]

    async def look(self, process: Process) -> Table:
        """Look at the processes that may belong to this server. Raises OSError when /proc cannot be read."""
        loop = asyncio.get_running_loop()
        if not self._asked:
            loop.call_soon(self._take)  # not at once: whoever asks in the same turn of the loop shares it
        answer: asyncio.Future[Table] = loop.create_future()
        self._asked.append((process, answer))
        return await answer

    def look_now(self, process: Process) -> Table:
        """The same, without waiting for others."""
        return self._read([process])

    async def look_aside(self, processes: Iterable[Process]) -> Table:
        """Look at all of these on a thread, for who may wait: thousands take 0.1 s. Raises OSError."""
        since = min((process.start_time for process in processes), default=math.inf)
        # Two looks at a time may forget who is older, and read those again; nothing that they note is wrong.
        return await run_in_thread(_read_all, since, self._seen, abandon_on_cancel=True)

    def _take(self) -> None:
        # Emptied first: who asks from now on wants a look that is begun later.
        asked, self._asked = self._asked, []
        waiting = [answer for _, answer in asked if not answer.done()]  # else it is cancelled
        try:
            table = self._read([process for process, _ in asked])
        except (OSError, MemoryError) as error:
            for answer in waiting:
                answer.set_exception(error)
        else:
            for answer in waiting:
                answer.set_result(table)

    def _read(self, asked: list[Process]) -> Table:
        self._forget_reaped()
        if all(map(self._has_left_all_to_us, asked)) and (table := self._read_left(asked)):
            return table
        others = self._leaders.keys() - {process.pid for process in asked}
        table = read_table(min(process.start_time for process in asked), self._seen, others)
        table.spare(self._leaders)
        return table

    def _read_left(self, dead: list[Process]) -> Table | None:
        """Look at what descends from our unknown children alone; None where it cannot be told for certain."""
        # And at who has the number of a dead server by now: the session of that number is not the server's.
        numbers = [process.pid for process in dead]
        with suppress(OSError):
            return read_subtrees(lambda: [*self._unknown(list_children()), *numbers])
        return None


def _read_all(since: float, seen: dict[int, tuple[int, float]]) -> Table:
    table = read_table(since, seen)
    table.read_marks(since)  # here, rather than by the first who asks for them, on the loop
    return table
