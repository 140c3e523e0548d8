"""One look at the process table for all who want one at the same moment."""

from __future__ import annotations

import asyncio
import math

from hostler.process.spawn.exits import Process
from hostler.process.tree.process_table import Table, read_table


class ProcessTableSnapshot:
    """Shares looks at the process table, so that stopping 500 servers at once takes a few of them."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, float]] = {}
        self._next: asyncio.Future[Table] | None = None
        self._since = math.inf

    async def look(self, process: Process) -> Table:
        """Look at the processes that may belong to this server. Raises OSError when /proc cannot be read."""
        if self._next is None:
            loop = asyncio.get_running_loop()
            self._next = loop.create_future()
            loop.call_soon(self._take)  # not at once: whoever asks in the same turn of the loop shares it
        self._since = min(self._since, process.start_time)
        # Who is cancelled does not take the look away from the others.
        return await asyncio.shield(self._next)

    def look_now(self, process: Process) -> Table:
        """The same, without waiting for others."""
        return read_table(process.start_time, self._seen)

    def _take(self) -> None:
        future, since = self._next, self._since
        # Emptied first: who asks from now on wants a look that is begun later.
        self._next, self._since = None, math.inf
        assert future is not None
        try:
            future.set_result(read_table(since, self._seen))
        except OSError as error:
            future.set_exception(error)
