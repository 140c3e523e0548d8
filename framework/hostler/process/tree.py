"""Stopping a server: everything it started, nothing else, and "stopped" only when the kernel says so."""

from __future__ import annotations

import signal
import time
from collections.abc import Awaitable, Callable, Iterable
from functools import partial
from pathlib import Path

import anyio

from hostler.process.census import Census
from hostler.process.cgroups import kill_group
from hostler.process.exits import Process
from hostler.process.grip import Grip
from hostler.process.members import Member, find_leftovers, find_tree

__all__ = ["Census", "Member", "find_tree", "kill_leftovers", "kill_tree_now", "stop_tree"]

_KILL_WITHIN = 2.0


async def stop_tree(
    process: Process,
    *,
    grace: float,
    last: float = _KILL_WITHIN,
    cut_short: anyio.Event | None = None,
    census: Census | None = None,
) -> tuple[int, ...]:
    """Stop a server's whole tree, its leader dead or alive; returns the pids that could not be stopped.

    SIGTERM, up to `grace` seconds (0 for none at all; `cut_short` ends them early), then SIGKILL and up to
    `last` seconds. Servers that are stopped together should share a `census`.
    """
    census = census or Census()

    with Grip(process) as grip:
        if not process.alive() and not await _look(process, grip, census):
            return ()  # it died and left nothing behind: a restart need not wait longer

        for number, wait, cut in ((signal.SIGTERM, grace, cut_short), (signal.SIGKILL, last, None)):
            if wait > 0 and await _within(wait, cut, partial(_bring_down, process, grip, number, census)):
                return ()

        members = await _look(process, grip, census)
        return tuple(sorted(member.pid for member in members))


def kill_tree_now(process: Process) -> tuple[int, ...]:
    """Kill a server's whole tree with SIGKILL, blocking for at most 2 s; returns the pids that were left.

    For the end of the interpreter, when no event loop runs any more.
    """
    _, left = _kill_until_empty(partial(_look_now, process), Grip(process), process.cgroup)
    process.alive()
    return left


def kill_leftovers(
    run_id: str, pid: int | None = None, start_time: float = 0, cgroup: Path | None = None
) -> tuple[int, ...]:
    """Kill what a dead supervisor left of a run, blocking for at most 2 s; returns the pids that were killed.

    Found by the marker, by the pid of the leader with the same `start_time` (the kernel's, as in
    `Process.start_time`), by its control group, and from there by all links. A bare pid is never believed.
    """
    killed, left = _kill_until_empty(
        lambda known: find_leftovers(run_id, pid, start_time, known, cgroup), Grip(), cgroup
    )
    return tuple(sorted(member.pid for member in killed if member.pid not in left))


async def _within(wait: float, cut_short: anyio.Event | None, work: Callable[[], Awaitable[None]]) -> bool:
    """Do the work; False when the time was over, or cut short, before it was done."""
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


async def _bring_down(process: Process, grip: Grip, number: int, census: Census) -> None:
    """Signal every member once, those too that turn up meanwhile, until a new look finds nobody."""
    told: set[Member] = set()

    while members := await _look(process, grip, census):
        grip.hold(members)

        if number == signal.SIGKILL:
            kill_group(process.cgroup)

        for member in members:
            if member not in told:
                grip.signal(member, number)
                told.add(member)

        await grip.wait()


async def _look(process: Process, grip: Grip, census: Census) -> list[Member]:
    try:
        return find_tree(process, grip.members, await census.look(process))
    except OSError:
        return _leader(process)
    finally:
        process.alive()


def _look_now(process: Process, known: Iterable[Member]) -> list[Member]:
    try:
        return find_tree(process, known)
    except OSError:
        return _leader(process)


def _leader(process: Process) -> list[Member]:
    """With no descriptor left to look with, the leader can be reached at least; its end frees some."""
    return [Member(process.pid, process.start_time)] if process.alive() else []


def _kill_until_empty(
    look: Callable[[Iterable[Member]], list[Member]], grip: Grip, cgroup: Path | None
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
