"""The part of a reload that waits: changed servers on which something runs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Literal, TypeAlias

from hostler.engine.server import SupervisedServer
from hostler.errors import InvalidConfiguration, RestartNotIdle
from hostler.model.dataclass import dataclass
from hostler.model.diff import Changes
from hostler.model.graph import in_order, with_needed
from hostler.model.spec import ServerSpec
from hostler.runtime.quiet_moment import tell_not_idle, wait_idle
from hostler.supervisor.registry import all_of

Specs: TypeAlias = Mapping[str, ServerSpec]
When: TypeAlias = Literal["now", "idle"]


@dataclass(frozen=True, slots=True)
class QuietMoment:
    """What the restart of a server waits for: nothing runs on these."""

    server: SupervisedServer
    asked: Sequence[SupervisedServer]
    within: float | str


def quiet_moment(
    server: SupervisedServer, specs: Specs, when: When | None, within: float | str = 0.0
) -> QuietMoment | None:
    """What its restart waits for; None if it does not wait. `specs` are those of the new configuration."""
    if when == "now" or not server.usable:
        return None
    if when == "idle":
        return QuietMoment(server, [server, *server.followers], within)
    group = (server, *server.followers)
    waits = {one: specs.get(one.name, one.spec).restart.wait_idle for one in group}
    asked = [one for one, seconds in waits.items() if seconds > 0]
    return QuietMoment(server, asked, max(waits.values())) if asked else None


class PostponedRestarts:
    """The servers of one reload that run on with what they have, until nothing runs on them.

    `specs` is what its configuration wants. `take` applies that, apart from what still waits.
    """

    def __init__(
        self,
        changes: Changes,
        specs: Specs,
        moments: Mapping[str, QuietMoment],
        take: Callable[[PostponedRestarts], Awaitable[object]],
    ) -> None:
        self.specs = dict(specs)
        self._changes = changes
        self._moments = moments
        self._take = take
        self._waiting = set(moments)
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self) -> None:
        """Wait for the quiet moment of each, in a task of its own."""
        for name in self._moments:
            task = asyncio.create_task(self._restart(name), name=f"hostler restart of {name}")
            task.add_done_callback(_look_at_error)
            self._tasks.append(task)

    def end(self) -> None:
        """Wait no more: those that still wait stay as they are."""
        for task in self._tasks:
            task.cancel()

    def forget(self, name: str) -> None:
        """Want nothing of a server that was removed meanwhile."""
        self.specs.pop(name, None)
        self._waiting.discard(name)

    async def finished(self) -> Changes:
        """Wait for all of them; what was changed, without those that `end` has left as they were.

        Raises RestartNotIdle when one was never idle in time, and what else a restart failed with.
        """
        await all_of(partial(_result, task) for task in self._tasks)
        restarted = tuple(name for name in self._changes.restarted if name not in self._waiting)
        return replace(self._changes, restarted=restarted)

    def beside_waiting(self, wanted: Specs, old: Specs) -> Specs:
        """What of `wanted` can be applied beside those that wait, which keep the specs of `old`.

        What they need stays with them, and a new server waits for a port that one of them has. If the old
        and the new do not fit together, all of it waits.
        """
        if not self._waiting:
            return wanted
        needed = with_needed(old, self._waiting)
        kept = [name for name in needed if name in self._waiting or name not in wanted]
        ports = {old[name].port for name in kept if old[name].port}
        mixed = {**wanted, **{name: old[name] for name in kept}}
        for name in [name for name, spec in mixed.items() if spec.port in ports and name not in kept]:
            mixed.pop(name)
            mixed |= {name: old[name]} if name in old else {}
        try:
            in_order(mixed)
        except InvalidConfiguration:
            return old
        return mixed

    async def _restart(self, name: str) -> None:
        moment = self._moments[name]
        try:
            await wait_idle(moment.server, moment.asked, moment.within)
        except RestartNotIdle as error:
            tell_not_idle(moment.server, error)
            raise
        self._waiting.discard(name)
        await self._take(self)


async def _result(task: asyncio.Task[None]) -> None:
    # Not `await task`: a cancellation of who waits for it must not reach it.
    await asyncio.wait({task})
    if not task.cancelled():
        task.result()


def _look_at_error(task: asyncio.Task[None]) -> None:
    if not task.cancelled():
        task.exception()  # it was reported, and asyncio complains of one that nobody looked at
