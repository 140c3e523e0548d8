"""What a server waits for before its spawn, and what it does when one that it needs restarts or is lost."""

from __future__ import annotations

from functools import partial

import anyio

from hostler.engine.server import Server
from hostler.errors import ServerCrashed
from hostler.model.dependencies import Condition, Need, OnRestart
from hostler.model.states import State


def holds(need: Need, other: Server) -> bool:
    """Whether a needed server is as far as it has to be. A task that has completed always is."""
    return other.meets(need.condition)


async def wait_for_needed(server: Server) -> None:
    """Wait until all conditions hold at once, and note of which runs.

    Raises ServerCrashed, permanent, when a needed server gave up or is stopped.
    """
    while missing := [need for need in server.spec.needed if not holds(need, server.needs[need.server])]:
        need, other = missing[0], server.needs[missing[0].server]
        server.progress(f"waiting for {other.name}")
        await other.until(lambda need=need, other=other: holds(need, other) or other.idle())  # type: ignore[misc]
        if holds(need, other):
            continue
        if other.state is State.STOPPED and other.name in server.desired.away:
            _step_aside(server, other)
            await anyio.sleep_forever()  # this start ends now
        if other.may_come_back:
            server.desired.note_away(other.name)
            other.followers[server] = partial(_come_back, server)
        raise _never(server, need, other)

    server.note_needed()


def lost_meanwhile(server: Server) -> str:
    """Why a start that has waited for all needed servers is stale: the name of one; "" when it is not."""
    for need in server.spec.needed:
        other = server.needs[need.server]
        if other.generation != server.bound[other.name] or not holds(need, other):
            return other.name
    return ""


def follow_needed(server: Server) -> None:
    """From its spawn on: look at each needed server when it changes, unless its restart is of no concern."""
    for need in server.spec.needed:
        other = server.needs[need.server]
        for removed in [one for one in other.followers if not one.desired.attended]:
            del other.followers[removed]
        match need.on_restart:
            case OnRestart.KEEP:
                other.followers.pop(server, None)
            case OnRestart.RESTART:
                other.followers[server] = partial(_restart_with, server, need, other)
            case OnRestart.STOP:
                other.followers[server] = partial(_stop_with, server, need, other)


async def until_followers_are_gone(server: Server) -> None:
    """Wait for the end of those that stop while this one is away."""
    for other in tuple(server.followers):
        if _stops_with(other, server):
            await other.until(partial(_is_gone, other))


def _is_gone(other: Server) -> bool:
    return not other.state.has_process or other.status.stuck is not None


def _stops_with(server: Server, other: Server) -> bool:
    stop = OnRestart.STOP
    return any(need.server == other.name and need.on_restart is stop for need in server.spec.needed)


def _restart_with(server: Server, need: Need, other: Server) -> None:
    if server.has_started and holds(need, other) and other.generation != server.bound.get(other.name):
        server.ask_again(f"{other.name} was restarted")


def _stop_with(server: Server, need: Need, other: Server) -> None:
    if not server.desired.is_up or server.idle():
        _come_back(server)
    elif holds(need, other):
        server.desired.note_back(other.name)
    else:
        if server.has_started:
            _step_aside(server, other)
        server.desired.note_away(other.name)


def _step_aside(server: Server, other: Server) -> None:
    """Stop until another is back. Where that is on its way this is a restart: its start waits."""
    because = f"{other.name} is away"
    if _is_coming(other):
        server.ask_again(because)
    else:
        server.ask_down(f"{because}; it comes back with it")
    server.desired.note_away(other.name)


def _come_back(server: Server) -> None:
    """Start what has stepped aside again when all for which it did are on their way: it waits for them."""
    failed_by_itself = server.state is State.FAILED and server.status.spawned_generation == server.generation
    away = server.desired.away
    coming = bool(away) and all(_is_coming(server.needs[name]) for name in away)
    if coming and server.desired.attended and not failed_by_itself:
        server.ask_up()


def _is_coming(server: Server) -> bool:
    return server.desired.is_up and not server.idle()


def _never(server: Server, need: Need, other: Server) -> ServerCrashed:
    state = other.state.value
    reason = f"it needs {other.name}, which is {state}"

    if need.condition is Condition.COMPLETED:
        why = f": {other.error.message}" if other.state is State.FAILED and other.error is not None else ""
        how = "failed" if other.state is State.FAILED else "is stopped"
        reason = f"it needs {other.name} to complete, which {how}{why}"

    return ServerCrashed(
        reason,
        server=server.name,
        hint=f"see why {other.name} is {state}, then start both",
        details={"needs": other.name},
        permanent=True,
    )
