from __future__ import annotations

import asyncio
from typing import Any

from hostler.cli.output.closed_pipe import PipeSafeView
from hostler.cli.output.views import View
from hostler.events.events import Event, StateChanged
from hostler.model.states import State


class Shown(View):
    """Notes what is shown."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.came = asyncio.Event()

    def show(self, event: Event) -> None:
        assert isinstance(event, StateChanged)
        self.words.append(event.state.value)
        self.came.set()

    def show_message(self, text: str, **_: Any) -> None:
        self.words.append(text)


def changed(state: State) -> StateChanged:
    return StateChanged(server="web", generation=1, state=state, previous=State.STOPPED)


async def test_what_comes_before_a_spawn_is_shown_in_order_right_after_it_or_a_moment_later() -> None:
    shown = Shown()
    view = PipeSafeView(shown, lambda: None)
    for state in (State.CRASHED, State.BACKOFF, State.STARTING):
        view.show(changed(state))
    assert shown.words == []
    view.show(changed(State.WAITING_READY))
    view.show(changed(State.CRASHED))
    view.show_message("a message")
    assert shown.words == ["crashed", "backoff", "starting", "waiting_ready", "crashed", "a message"]

    shown.came.clear()
    view.show(changed(State.BACKOFF))
    async with asyncio.timeout(10):
        await shown.came.wait()
    view.show(changed(State.CRASHED))
    view.close()
    assert shown.words[6:] == ["backoff", "crashed"]
