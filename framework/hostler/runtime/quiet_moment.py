"""Waits until nothing runs on a server, as its plugins tell."""

from __future__ import annotations

from collections.abc import Sequence

import anyio

from hostler.errors import RestartNotIdle
from hostler.model.states import State
from hostler.model.units import Duration
from hostler.runtime.server_facts import ServerFacts

_LOOK = 0.5
_ANSWER = 5.0
_NAMED = 5


async def wait_idle(server: ServerFacts, within: float | str) -> None:
    """Return when nothing runs on it, or when its present run is over.

    `within` is in seconds, or text such as "10m". Raises RestartNotIdle when that was not so in time.
    """
    seconds, generation = Duration.parse(within) if isinstance(within, str) else within, server.generation
    running: Sequence[str] | None = None
    with anyio.move_on_after(seconds):
        while server.state is State.RUNNING and not server.end_asked and server.generation == generation:
            running = await _what_runs(server)
            if running is not None and not running:
                return
            await anyio.sleep(_LOOK)
        return
    raise _not_idle(server, running, seconds)


async def _what_runs(server: ServerFacts) -> Sequence[str] | None:
    """The names of what runs; None when nobody can tell."""
    what_runs, is_idle = server.facts.get("what_runs"), server.facts.get("is_idle")
    try:
        if callable(what_runs):
            with anyio.fail_after(_ANSWER):
                names = await what_runs()
            return None if names is None else tuple(str(name) for name in names)
        if callable(is_idle):
            return () if is_idle() else ("it does not say what",)
    except Exception:  # noqa: BLE001 - a plugin's fault: what runs is unknown, which counts as busy
        return None
    return None


def _not_idle(server: ServerFacts, running: Sequence[str] | None, seconds: float) -> RestartNotIdle:
    if running is None:
        why = "whether anything runs is unknown, which counts as busy"
        hint = 'restart it with when="now", or use a launcher plugin that tells what runs'
    else:
        more = f" and {len(running) - _NAMED} more" if len(running) > _NAMED else ""
        why = f"running: {', '.join(running[:_NAMED])}{more}"
        hint = 'allow more time (within=...), or restart it with when="now"'
    return RestartNotIdle(
        f"it was not idle within {seconds:g} s, so it was not restarted; {why}",
        server=server.name,
        hint=hint,
        details={"running": None if running is None else list(running)},
    )
