"""One look at the process table for all who want one at the same moment."""

from __future__ import annotations

import asyncio

from hostler.process.spawn.exits import Process
from hostler.process.tree.table import Table, read_table


class ProcessTableSnapshot:
    """Shares looks at the process table, so that stopping 500 servers at once takes a few of them."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[int, float]] = {}
        self._waiting: list[tuple[Process, asyncio.Future[Table]]] = []

    async def look(self, process: Process) -> Table:
        """Look at the processes that may belong to this server. Raises OSError when /proc cannot be read."""
        loop = asyncio.get_running_loop()
        if not self._waiting:  # not taken at once: whoever asks in the same turn of the loop shares it
            loop.call_soon(self._take)
        future: asyncio.Future[Table] = loop.create_future()
        self._waiting.append((process, future))
        return await future

    def look_now(self, process: Process) -> Table:
        """The same, without waiting for others."""
        return read_table(process.start_time, self._seen)

    def _take(self) -> None:
        # Emptied first: who asks from now on wants a look that is begun later.
        waiting, self._waiting = self._waiting, []
        oldest = min(process.start_time for process, _ in waiting)
        open_futures = [future for _, future in waiting if not future.done()]

        try:
            table = read_table(oldest, self._seen)
        except OSError as error:
            for future in open_futures:
                future.set_exception(error)
            return

        for future in open_futures:
            future.set_result(table)
