"""Stopping a server: everything it started, nothing else, and "stopped" only when the kernel says so."""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable, Collection, Iterable
from functools import partial
from pathlib import Path

import anyio
from msgspec import Struct

from hostler.concurrency.flag import Flag
from hostler.errors import ForceKillTimeout
from hostler.model.choices import StopMode, StopOrder
from hostler.process.spawn.cgroups import kill_group
from hostler.process.spawn.exits import Process
from hostler.process.tree.handles import ProcessHandles
from hostler.process.tree.main_process import find_main
from hostler.process.tree.members import Member, find_leftovers, find_tree
from hostler.process.tree.process_table import MOST_LOOKS
from hostler.process.tree.snapshot import ProcessTableSnapshot

_KILL_WITHIN = 2.0
_MAIN_SHARE = _REST_SHARE = 0.5
_REST_LONGEST = 2.0


async def stop_tree(
    process: Process,
    *,
    grace: float,
    last: float = _KILL_WITHIN,
    cut_short: Flag | None = None,
    snapshot: ProcessTableSnapshot | None = None,
    order: StopOrder | None = None,
    on_refused: Callable[[int], None] | None = None,
) -> tuple[int, ...]:
    """Stop a server's whole tree, its leader dead or alive; returns the pids that could not be stopped.

    It is asked to end in the `order` that is configured, for up to `grace` seconds (0 for none at all;
    `cut_short` ends them early), then SIGKILL and up to `last` seconds. Servers that are stopped together
    should share a `snapshot`. `on_refused` gets at once the pid of one that we may not signal.
    """
    with ProcessHandles(process, on_refused) as handles:
        stop = _TreeStop(process, handles, snapshot or ProcessTableSnapshot())
        if not process.alive() and not await stop.look():
            return ()  # it died and left nothing behind: a restart need not wait longer
        if grace > 0 and await stop.ask(order or StopOrder(), grace, cut_short):
            return ()
        if last > 0 and await within(last, None, partial(stop.bring_down, signal.SIGKILL)):
            return ()
        return tuple(sorted(member.pid for member in await stop.look()))


def kill_tree_now(process: Process) -> tuple[int, ...]:
    """Kill a server's whole tree with SIGKILL, blocking for at most 2 s; returns the pids that were left."""
    # At the end of the interpreter no event loop runs any more.
    _, left = _kill_until_empty(partial(_look_now, process), ProcessHandles(process), process.cgroup)
    process.alive()
    return left


def kill_leftovers(
    run_id: str, pid: int | None = None, start_time: float = 0, cgroup: Path | None = None
) -> tuple[int, ...]:
    """Kill what a dead supervisor left of a run, blocking for at most 2 s; returns the pids that were killed.

    Found by the marker, by the pid of the leader with the same `start_time` (the kernel's, as in
    `Process.start_time`), by its control group, and from there by all links. A bare pid is never believed.
    Raises ForceKillTimeout where some live on, such as those that became another user.
    """
    killed, left = _kill_until_empty(
        lambda known: find_leftovers(run_id, pid, start_time, known, cgroup), ProcessHandles(), cgroup
    )
    if left:
        numbers = " ".join(map(str, left))
        raise ForceKillTimeout(
            f"a killed hostler left processes of the server, and hostler cannot end them: pid {numbers}",
            hint=f"end them as their user or as root (kill -9 {numbers}), then start again",
            details={"pids": list(left)},
        )

    return tuple(sorted(member.pid for member in killed))


async def within(wait: float, cut_short: Flag | None, work: Callable[[], Awaitable[object]]) -> bool:
    """Do the work; False when the time was over, or cut short, before it was done, or begun."""
    if cut_short is not None and cut_short.is_set():
        return False

    with anyio.move_on_after(wait) as scope:
        # No task that waits for it: among hundreds of stops these would cost more than the signals.
        unfollow = None if cut_short is None else cut_short.notify(scope.cancel)
        try:
            await work()
            return True
        finally:
            if unfollow is not None:
                unfollow()

    return False


class _TreeStop(Struct, frozen=True):
    """One stop of a server's tree."""

    process: Process
    handles: ProcessHandles
    snapshot: ProcessTableSnapshot

    async def ask(self, order: StopOrder, grace: float, cut_short: Flag | None) -> bool:
        """Ask the main process to end, and those whom it left behind; whether a look found nobody in time."""
        if cut_short is not None and cut_short.is_set():
            return False

        until = time.monotonic() + grace
        members = await self.look()
        main = find_main(self.process.pid, members, order.signal.number)
        self.handles.hold(members)
        for member in main.reactions:
            self.handles.signal(member, order.signal.number)

        # It has the first half of the time to itself: a server may end its workers in an order.
        has_turn = order.mode is StopMode.MAIN and main.reactions
        gone = partial(self.handles.wait_for, main.reactions)
        if has_turn and await within(_MAIN_SHARE * grace, cut_short, gone):
            if not await self.look():
                return True
            # Half of what is left, but 2 s at most, is for those to whom it may have handed the signal
            # on: a second one would cut their end short.
            rest = min(_REST_SHARE * (until - time.monotonic()), _REST_LONGEST)
            if main.needs_time and await within(rest, cut_short, self.bring_down):
                return True

        asked = partial(self.bring_down, signal.SIGTERM, main.signalled)
        return await within(until - time.monotonic(), cut_short, asked)

    async def bring_down(self, number: int | None = None, signalled: Collection[Member] = ()) -> None:
        """Signal every member once, but those `signalled`, until a look finds nobody; or only wait."""
        done = set(signalled)
        while members := await self.look():
            self.handles.hold(members)
            if number == signal.SIGKILL:
                kill_group(self.process.cgroup)
            for member in members:
                if number is not None and member not in done:
                    self.handles.signal(member, number)
            done.update(members)
            await self.handles.wait()

    async def look(self) -> list[Member]:
        """Who is there; that nobody is, is believed when nothing was started meanwhile."""
        members: list[Member] = []
        if self.snapshot.shows_nobody(self.process):
            return self.handles.living()
        try:
            for _ in range(MOST_LOOKS):
                table = await self.snapshot.look(self.process)
                members = find_tree(self.process, self.handles.members, table)
                if members or table.is_settled():
                    break
        except (OSError, MemoryError):
            return _leader(self.process)

        if not members:  # reaped here too: under load the loop may not have come to its exit yet
            self.process.alive()
        return members or self.handles.living()


def _look_now(process: Process, known: Iterable[Member]) -> list[Member]:
    try:
        return find_tree(process, known)
    except OSError:
        return _leader(process)


def _leader(process: Process) -> list[Member]:
    # With no descriptor or memory left to look with, the leader can be reached at least; its end frees some.
    return [Member(process.pid, process.start_time)] if process.alive() else []


def _kill_until_empty(
    look: Callable[[Iterable[Member]], list[Member]], handles: ProcessHandles, cgroup: Path | None
) -> tuple[set[Member], tuple[int, ...]]:
    until = time.monotonic() + _KILL_WITHIN

    with handles:
        while (members := look(handles.members)) and (left := until - time.monotonic()) > 0:
            handles.hold(members)
            kill_group(cgroup)
            for member in members:
                handles.signal(member, signal.SIGKILL)
            handles.wait_here(left)
        return handles.members, tuple(sorted(member.pid for member in members))
