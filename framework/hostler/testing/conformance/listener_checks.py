"""The behaviour of a listener: called as a supervisor does, with a few events and their end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Mapping
from itertools import pairwise
from typing import Any

from hostler.errors import ServerError
from hostler.events.events import Event, Notice, StateChanged, events_dropped
from hostler.model.states import State
from hostler.plugins.hook_calls import Caller, Outcome
from hostler.plugins.messages import said
from hostler.plugins.options import construct
from hostler.plugins.signatures import LISTENER_FORM, listener_faults
from hostler.testing.conformance.findings import Findings, place_of
from hostler.testing.fake_listener_context import FakeListenerContext

_LAST = 5.0
_PATIENCE = 30.0
_BLOCKED = 1.0


def check_listener_form(class_: type, findings: Findings) -> bool:
    """Check the form of `listen`; False when it could not be called."""
    faults = list(listener_faults(class_))
    for each in faults:
        findings.broken(place_of(class_, "listen"), each, f"write {LISTENER_FORM}")
    return not faults


def check_listening(class_: type, options: Mapping[str, object], findings: Findings) -> None:
    """Call it twice, as after a failure, and look at how it ends."""
    listener, _ = construct(class_, options)
    for outcome in _in_thread(listener):
        _judge(outcome, class_, findings)


def _in_thread(listener: Any) -> list[Outcome]:
    """Run it on a thread of its own, since the caller may have a running event loop."""
    outcomes: list[Outcome] = []
    done = threading.Event()

    async def call() -> None:
        caller = Caller()
        for _ in range(2):
            outcome = Outcome()
            arguments = {"events": _events(), "context": FakeListenerContext()}
            await caller.run(listener.listen, arguments, _LAST, outcome)
            outcomes.append(outcome)
        done.set()

    # What swallows its cancellation keeps its loop from ending: the thread is then left to itself.
    threading.Thread(target=lambda: asyncio.run(call()), name="listener check", daemon=True).start()
    done.wait(_PATIENCE)
    return outcomes


async def _events() -> AsyncIterator[Event]:
    states = (State.STOPPED, State.STARTING, State.RUNNING, State.STOPPING, State.STOPPED)
    for previous, state in pairwise(states):
        yield StateChanged(server="stand-in", generation=1, state=state, previous=previous)
    yield Notice(server="", generation=0, topic="any", text="of no server", details={"list": [1, None]})
    yield events_dropped(3)


def _judge(outcome: Outcome, class_: type, findings: Findings) -> None:
    place = place_of(class_, "listen")
    if outcome.swallowed:
        findings.broken(place, "swallows its cancellation, and goes on", "let CancelledError through")
    elif outcome.overran is not None:
        findings.note(f"{place}: it was at work for {_LAST:g} s after its last event, and was cancelled then")
    elif isinstance(outcome.error, ServerError):
        findings.note(f"{place}: it refused to begin here ({outcome.error.message.splitlines()[0]})")
    elif outcome.error is not None:
        mend = "what is wrong where it sends to is told with context.notice, and tried again"
        findings.broken(place, f"raises {said(outcome.error)}", mend)
    if outcome.held >= _BLOCKED:
        what = f"blocks the event loop for {outcome.held:.1f} s"
        findings.broken(place, what, "await what takes long, or run it with anyio.to_thread.run_sync")
