"""Waits until nothing runs on a server and on those that restart with it, as their plugins tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import anyio

from hostler.concurrency.event_loop import loop_time
from hostler.errors import RestartNotIdle
from hostler.model.states import State
from hostler.model.units import Duration
from hostler.runtime.server_facts import ServerFacts

_LOOK = 0.5
_ANSWER = 5.0
_NAMED = 5
_UNKNOWN = "whether anything runs is unknown, which counts as busy"


def check_moment(when: object) -> None:
    """Raise ValueError for a moment that there is not: a restart at once would cut off what runs."""
    if when not in {"now", "idle"}:
        raise ValueError(f'when: expected "now" or "idle", found {when!r}')


async def wait_idle(server: ServerFacts, asked: Sequence[ServerFacts], within: float | str) -> None:
    """Return when nothing runs on any of `asked`, or when the present run of the server is over.

    `within` is in seconds, or text such as "10m"; with 0 it looks once. Raises RestartNotIdle when that was
    not so in time. The notice `restart_waits` says once that it waits.
    """
    seconds = Duration.parse(within) if isinstance(within, str) else within
    until, generation = loop_time() + seconds, server.generation
    told = False
    while _is_up(server) and server.generation == generation:
        running = await what_runs_on(asked)
        left = until - loop_time()
        if running is not None and not running:
            return
        if left <= 0:
            raise _not_idle(server, running, seconds)
        if not told:
            told = True
            text = f"its restart waits up to {seconds:g} s until nothing runs on it; {_in_words(running)}"
            server.notice("restart_waits", text, within=float(seconds))
        await anyio.sleep(min(_LOOK, left))


class QuietRestart:
    """A restart that a plugin has planned; `waits_for` is the generation that it is to end."""

    def __init__(self) -> None:
        self.waits_for = 0

    async def run(
        self, server: ServerFacts, followers: Sequence[ServerFacts], restart: Callable[[], None]
    ) -> None:
        """Call `restart` in a quiet moment of all of them; report it if there is none."""
        self.waits_for = generation = server.generation
        try:
            await wait_idle(server, [server, *followers], server.spec.restart.wait_idle)
        except RestartNotIdle as error:
            tell_not_idle(server, error)
        else:
            if server.generation == generation and _is_up(server):
                restart()
        finally:
            self.waits_for = 0


def can_tell(server: ServerFacts) -> bool:
    """Whether a plugin of its present run can tell what runs on it."""
    return any(callable(server.facts.get(name)) for name in ("what_runs", "is_idle"))


def tell_not_idle(server: ServerFacts, error: RestartNotIdle) -> None:
    """Report that a restart nobody waits for did not take place."""
    server.notice("restart_not_idle", error.message, level="warning", **error.context.details)


def _is_up(server: ServerFacts) -> bool:
    return server.state is State.RUNNING and not server.end_asked


async def what_runs_on(servers: Sequence[ServerFacts]) -> Sequence[str] | None:
    """The names of what runs on those that are up; None when nobody can tell for one of them."""
    found: list[str] = []
    for server in servers:
        running = await _what_runs(server) if _is_up(server) else ()
        if running is None:
            return None
        found += [name if len(servers) == 1 else f"{name} ({server.name})" for name in running]
    return found


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


def _in_words(running: Sequence[str] | None) -> str:
    if running is None:
        return _UNKNOWN
    more = f" and {len(running) - _NAMED} more" if len(running) > _NAMED else ""
    return f"running: {', '.join(running[:_NAMED])}{more}"


def _not_idle(server: ServerFacts, running: Sequence[str] | None, seconds: float) -> RestartNotIdle:
    if running is None:
        hint = 'restart it with when="now", or use a launcher plugin that tells what runs'
    else:
        hint = 'allow more time (within=...), or restart it with when="now"'
    return RestartNotIdle(
        f"it was not idle within {seconds:g} s, so it was not restarted; {_in_words(running)}",
        server=server.name,
        hint=hint,
        details={"running": None if running is None else list(running)},
    )
