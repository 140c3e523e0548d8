"""Commands to servers, as clients of the control API give them: carried out together, by tasks."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterable, Sequence
from typing import Any

from hostler import Server, Supervisor
from hostler.control.problems import Refused
from hostler.control.shapes import Command


class ServerCommands:
    """Starts, stops and restarts servers. What nobody waits for any more goes on, until `close`."""

    def __init__(self, supervisor: Supervisor) -> None:
        self._supervisor = supervisor
        self._tasks: set[asyncio.Task[Any]] = set()
        self._closing = asyncio.Event()

    def find(self, names: Sequence[str]) -> list[Server]:
        """The servers of these names (all, without names). Raises Refused for a name that is unknown."""
        servers = self._supervisor.servers
        for name in names:
            if name not in servers:
                known = ", ".join(servers) or "none"
                raise Refused("not_found", f"there is no server {name!r}; there are: {known}")
        return [servers[name] for name in names or servers]

    async def start(self, servers: Sequence[Server], command: Command) -> list[bool]:
        """Start what is neither up nor completed, and what it needs; tells whether each was not."""
        was_down = [not one.completed and (not one.wanted or one.is_settled()) for one in servers]
        await self._carry_out((one.ensure() for one in servers), command)
        return was_down

    async def stop(self, servers: Sequence[Server], command: Command) -> list[bool]:
        """Stop them, each after those that need it; tells whether each was not at rest."""
        was_up = [not one.state.at_rest for one in servers]
        names = [one.name for one in servers]
        # Without names it would stop all.
        await self._carry_out(
            (self._supervisor.stop(*names, force=command.force) for _ in names[:1]), command
        )
        return was_up

    async def restart(self, servers: Sequence[Server], command: Command) -> list[bool]:
        """Restart them. Raises Refused when another run than `generation` is there."""
        for one in servers:
            if command.generation not in {None, one.generation}:
                detail = f"run {one.generation} is there by now, not run {command.generation}"
                raise Refused("stale_generation", detail, server=one.name)
        await self._carry_out((_restart(one, command) for one in servers), command)
        return [True] * len(servers)

    async def close(self) -> None:
        """Wait for nothing any more, and take no more commands. The servers go on as they were asked to."""
        self._closing.set()
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)

    async def _carry_out(self, works: Iterable[Coroutine[Any, Any, Any]], command: Command) -> None:
        if self._closing.is_set():
            raise Refused("shutting_down", "this hostler is about to end")
        tasks = [self._begin(work) for work in works]
        if command.wait and tasks:
            async with asyncio.timeout(command.timeout):
                # A client that is gone, or does not wait longer, takes nothing back.
                await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
        else:
            # What is refused at once is told at once; what takes its time is not waited for.
            await asyncio.sleep(0)
        for task in tasks:
            if task.done():
                task.result()

    def _begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._note_end)
        return task

    def _note_end(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled():
            # Whoever waits raises it, and events tell everybody else; asyncio would complain of it.
            task.exception()


async def _restart(server: Server, command: Command) -> None:
    await server.restart(generation=server.generation, when=command.when, within=command.within)
    await server.wait_ready()
