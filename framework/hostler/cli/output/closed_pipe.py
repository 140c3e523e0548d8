"""A view that survives a closed pipe, and that no restart waits for."""

from __future__ import annotations

import asyncio
import errno
import os
import sys
from collections.abc import Callable
from typing import Concatenate, ParamSpec

from hostler.cli.output.views import View
from hostler.events.events import CrashRecorded, Event, Exited, RestartScheduled, StateChanged
from hostler.model.states import State

P = ParamSpec("P")
_GONE = (errno.EPIPE, errno.EIO)
_AT_MOST = 0.02  # seconds that an event waits to be shown
_BEFORE_SPAWN = frozenset({State.CRASHED, State.BACKOFF, State.STARTING})


def _safely(method: Callable[Concatenate[View, P], None]) -> Callable[Concatenate[PipeSafeView, P], None]:
    """The same method of the wrapped view, without the errors of its output."""

    def call(self: PipeSafeView, /, *arguments: P.args, **named: P.kwargs) -> None:
        self.show_waiting()
        try:
            getattr(self.view, method.__name__)(*arguments, **named)
        except OSError as error:
            if error.errno in _GONE:
                _discard_broken_output()
                self.on_gone()

    return call


class PipeSafeView(View):
    """Forwards everything to `view`. When nobody reads any more, it calls `on_gone` and discards the rest.

    What cannot be written for another reason, such as a full disk, is left out. The events between an exit
    and the spawn after it are shown together, right after that or a moment later. Used on the loop's thread.
    """

    def __init__(self, view: View, on_gone: Callable[[], None]) -> None:
        self.view = view
        self.on_gone = on_gone
        self._waiting: list[Event] = []
        self._timer: asyncio.TimerHandle | None = None

    learn_names = _safely(View.learn_names)
    show_start = _safely(View.show_start)
    _show = _safely(View.show)
    show_line = _safely(View.show_line)
    show_message = _safely(View.show_message)
    show_command = _safely(View.show_command)
    stop_spinner = _safely(View.stop_spinner)
    show_shutdown = _safely(View.show_shutdown)
    _close = _safely(View.close)

    def show(self, event: Event) -> None:
        """Show an event; one for which a restart would wait soon, and all else after it."""
        if self.view.ignores(event):
            return
        match event:
            case Exited() | CrashRecorded() | RestartScheduled():
                self._show_soon(event)
            case StateChanged(state=state) if state in _BEFORE_SPAWN:
                self._show_soon(event)
            case _:
                self._show(event)

    def _show_soon(self, event: Event) -> None:
        self._waiting.append(event)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(_AT_MOST, self.show_waiting)

    def show_waiting(self) -> None:
        """Show what waits."""
        waiting, self._waiting = self._waiting, []
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        for event in waiting:
            self._show(event)

    def close(self) -> None:
        """Leave the terminal as it was, and let Python flush nothing at its end that cannot be written."""
        self._close()
        _discard_broken_output()


def _discard_broken_output() -> None:
    """Put the null device in the place of what is broken: Python flushes what it still holds at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
