"""Stopping a server: everything it started, nothing else, and "stopped" only when the kernel says so."""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path

import anyio

from hostler.errors import ForceKillTimeout
from hostler.model.choices import StopMode, StopOrder
from hostler.process.spawn.cgroups import kill_group
from hostler.process.spawn.exits import Process
from hostler.process.tree.handles import ProcessHandles
from hostler.process.tree.main_process import find_main
from hostler.process.tree.members import Member, find_leftovers, find_tree
from hostler.process.tree.snapshot import ProcessTableSnapshot
from hostler.process.tree.table import until_settled

__all__ = [
    "Member",
    "ProcessTableSnapshot",
    "find_tree",
    "kill_leftovers",
    "kill_tree_now",
    "stop_tree",
    "within",
]

_KILL_WITHIN = 2.0
_MAIN_SHARE = _REST_SHARE = 0.5
_REST_LONGEST = 2.0


async def stop_tree(
    process: Process,
    *,
    grace: float,
    last: float = _KILL_WITHIN,
    cut_short: anyio.Event | None = None,
    census: ProcessTableSnapshot | None = None,
    order: StopOrder | None = None,
    on_refused: Callable[[int], None] | None = None,
) -> tuple[int, ...]:
    """Stop a server's whole tree, its leader dead or alive; returns the pids that could not be stopped.

    It is asked to end in the `order` that is configured, for up to `grace` seconds (0 for none at all;
    `cut_short` ends them early), then SIGKILL and up to `last` seconds. Servers that are stopped together
    should share a `census`. `on_refused` hears at once the pid of one that we may not signal.
    """
    census = census or ProcessTableSnapshot()
    ask = partial(_ask, process, order=order or StopOrder(), grace=grace)
    kill = partial(_bring_down, process, number=signal.SIGKILL)

    with ProcessHandles(process, on_refused) as grip:
        if not process.alive() and not await _look(process, grip, census):
            return ()  # it died and left nothing behind: a restart need not wait longer
        for work, wait, cut in ((ask, grace, cut_short), (kill, last, None)):
            if wait > 0 and await within(wait, cut, partial(work, grip=grip, census=census)):
                return ()
        members = await _look(process, grip, census)
        return tuple(sorted(member.pid for member in members))


def kill_tree_now(process: Process) -> tuple[int, ...]:
    """Kill a server's whole tree with SIGKILL, blocking for at most 2 s; returns the pids that were left.

    For the end of the interpreter, when no event loop runs any more.
    """
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
            f"what a killed hostler left of the server lives on, and hostler cannot end it: pid {numbers}",
            hint=f"end it as its user or as root (kill -9 {numbers}), then start again",
            details={"pids": list(left)},
        )

    return tuple(sorted(member.pid for member in killed))


async def within(wait: float, cut_short: anyio.Event | None, work: Callable[[], Awaitable[object]]) -> bool:
    """Do the work; False when the time was over, or cut short, before it was done, or begun."""
    if cut_short is not None and cut_short.is_set():
        return False

    with anyio.move_on_after(wait) as scope:
        async with anyio.create_task_group() as group:
            if cut_short is not None:
                group.start_soon(_cancel_on, cut_short, scope)
            await work()
            group.cancel_scope.cancel()
            return True

    return False


async def _cancel_on(event: anyio.Event, scope: anyio.CancelScope) -> None:
    await event.wait()
    scope.cancel()


async def _ask(
    process: Process, grip: ProcessHandles, census: ProcessTableSnapshot, order: StopOrder, grace: float
) -> None:
    """Ask the main process to end, and those whom it left behind, until a new look finds nobody.

    It has the first half of the time to itself. When it has ended, half of what is left, but 2 s at most,
    is for those to whom it may have handed the signal on: a second one would cut their end short.
    """
    until = time.monotonic() + grace
    number = order.signal.number
    members = await _look(process, grip, census)
    main = find_main(process.pid, members, number)
    grip.hold(members)

    for member in main.reactions:
        grip.signal(member, number)

    if order.mode is StopMode.MAIN and main.reactions:
        with anyio.move_on_after(_MAIN_SHARE * grace) as scope:
            await grip.wait_for(main.reactions)
        if main.needs_time and not scope.cancelled_caught:
            with anyio.move_on_after(min(_REST_SHARE * (until - time.monotonic()), _REST_LONGEST)):
                await _bring_down(process, grip, census)
                return

    await _bring_down(process, grip, census, signal.SIGTERM, main.told)


async def _bring_down(
    process: Process,
    grip: ProcessHandles,
    census: ProcessTableSnapshot,
    number: int | None = None,
    told: set[Member] | None = None,
) -> None:
    """Signal every member once, those too that turn up meanwhile, until a new look finds nobody.

    Without a number it only waits; who was `told` already is not told again.
    """
    told = set() if told is None else told

    while members := await _look(process, grip, census):
        grip.hold(members)
        if number == signal.SIGKILL:
            kill_group(process.cgroup)
        for member in members:
            if number is not None and member not in told:
                grip.signal(member, number)
                told.add(member)
        await grip.wait()


async def _look(process: Process, grip: ProcessHandles, census: ProcessTableSnapshot) -> list[Member]:
    """Who is there; that nobody is, is believed when nothing was started meanwhile."""
    members: list[Member] = []
    try:
        for _ in until_settled():
            if members := find_tree(process, grip.members, await census.look(process)):
                break
    except OSError:
        return _leader(process)
    finally:
        process.alive()

    return members


def _look_now(process: Process, known: Iterable[Member]) -> list[Member]:
    try:
        return find_tree(process, known)
    except OSError:
        return _leader(process)


def _leader(process: Process) -> list[Member]:
    """With no descriptor left to look with, the leader can be reached at least; its end frees some."""
    return [Member(process.pid, process.start_time)] if process.alive() else []


def _kill_until_empty(
    look: Callable[[Iterable[Member]], list[Member]], grip: ProcessHandles, cgroup: Path | None
) -> tuple[set[Member], tuple[int, ...]]:
    until = time.monotonic() + _KILL_WITHIN

    with grip:
        while (members := look(grip.members)) and (left := until - time.monotonic()) > 0:
            grip.hold(members)
            kill_group(cgroup)
            for member in members:
                grip.signal(member, signal.SIGKILL)
            grip.wait_here(left)
        return grip.members, tuple(sorted(member.pid for member in members))
