"""What a server waits for before its spawn, and what it does when one that it needs restarts or is lost."""

from __future__ import annotations

from functools import partial

import anyio

from hostler.engine.server import SupervisedServer
from hostler.errors import ServerCrashed
from hostler.model.dependencies import Condition, Need, OnRestart
from hostler.model.states import State


async def wait_for_needed(server: SupervisedServer) -> None:
    """Wait until the conditions of all needed servers hold at once.

    Raises ServerCrashed, permanent, when a needed server gave up or is stopped.
    """
    while missing := [one for one in server.spec.needed if not server.needs[one.server].meets(one.condition)]:
        need, other = missing[0], server.needs[missing[0].server]
        server.progress(f"waiting for {other.name}")
        await other.until(partial(_is_decided, need, other))
        if other.meets(need.condition):
            continue
        if other.state is State.STOPPED and other.name in server.desired.suspended_for:
            _suspend(server, other)
            await anyio.sleep_forever()  # this start is cancelled now, by the stop or restart just requested
        if other.is_revivable:
            server.desired.suspend_for(other.name)
            other.dependents[server] = partial(_come_back, server)
        raise _never(server, need, other)


def _is_decided(need: Need, other: SupervisedServer) -> bool:
    return other.meets(need.condition) or other.is_settled()


def lost_meanwhile(server: SupervisedServer) -> str:
    """Why a start that has waited for all needed servers is stale: the name of one; "" when it is not."""
    generations = server.status.dependency_generations
    for need in server.spec.needed:
        other = server.needs[need.server]
        if other.generation != generations[other.name] or not other.meets(need.condition):
            return other.name
    return ""


def follow_needed(server: SupervisedServer) -> None:
    """From its spawn on: look at each needed server when it changes, unless its restart is of no concern."""
    for need in server.spec.needed:
        other = server.needs[need.server]
        for removed in [one for one in other.dependents if not one.desired.accepts_commands]:
            del other.dependents[removed]
        match need.on_restart:
            case OnRestart.KEEP:
                other.dependents.pop(server, None)
            case OnRestart.RESTART:
                other.dependents[server] = partial(_restart_with, server, need, other)
            case OnRestart.STOP:
                other.dependents[server] = partial(_stop_with, server, need, other)


async def wait_dependents_gone(server: SupervisedServer) -> None:
    """Wait for the end of those that stop while this one is down."""
    for other in tuple(server.dependents):
        stops = [need.server for need in other.spec.needed if need.on_restart is OnRestart.STOP]
        if server.name in stops:
            await other.until(partial(_is_gone, other))


def _is_gone(other: SupervisedServer) -> bool:
    return not other.state.has_process or other.status.unkillable is not None


def _restart_with(server: SupervisedServer, need: Need, other: SupervisedServer) -> None:
    started_with = server.status.dependency_generations.get(other.name)
    if server.has_started and other.meets(need.condition) and other.generation != started_with:
        server.ask_again(f"{other.name} was restarted")


def _stop_with(server: SupervisedServer, need: Need, other: SupervisedServer) -> None:
    if not server.desired.is_up or server.is_settled():
        _come_back(server)
    elif other.meets(need.condition):
        server.desired.resume_for(other.name)
    else:
        if server.has_started:
            _suspend(server, other)
        server.desired.suspend_for(other.name)


def _suspend(server: SupervisedServer, other: SupervisedServer) -> None:
    """Stop until another is back. Where that is on its way this is a restart: its start waits."""
    if _is_coming(other):
        server.ask_again(f"{other.name} is away")
    else:
        server.ask_down(f"{other.name} is away; it comes back with it")
    server.desired.suspend_for(other.name)  # last: every command forgets for whom it was suspended


def _come_back(server: SupervisedServer) -> None:
    """Start what was suspended again when all for which it was are on their way: it waits for them."""
    failed_by_itself = server.state is State.FAILED and server.status.spawned_generation == server.generation
    names = server.desired.suspended_for
    coming = bool(names) and all(_is_coming(server.needs[name]) for name in names)
    if coming and server.desired.accepts_commands and not failed_by_itself:
        server.ask_up()


def _is_coming(server: SupervisedServer) -> bool:
    return server.desired.is_up and not server.is_settled()


def _never(server: SupervisedServer, need: Need, other: SupervisedServer) -> ServerCrashed:
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
