"""A view that survives a closed pipe."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable
from typing import Concatenate, ParamSpec

from hostler.cli.output.views import View

P = ParamSpec("P")
_GONE = (errno.EPIPE, errno.EIO)


def _safely(method: Callable[Concatenate[View, P], None]) -> Callable[Concatenate[PipeSafeView, P], None]:
    """The same method of the wrapped view, without the errors of its output."""

    def call(self: PipeSafeView, /, *arguments: P.args, **named: P.kwargs) -> None:
        try:
            getattr(self.view, method.__name__)(*arguments, **named)
        except OSError as error:
            if error.errno in _GONE:
                _discard_broken_output()
                self.on_gone()

    return call


class PipeSafeView(View):
    """Forwards everything to `view`. When nobody reads any more, it calls `on_gone` and discards the rest.

    What cannot be written for another reason, such as a full disk, is left out.
    """

    def __init__(self, view: View, on_gone: Callable[[], None]) -> None:
        self.view = view
        self.on_gone = on_gone

    learn_names = _safely(View.learn_names)
    show_start = _safely(View.show_start)
    show = _safely(View.show)
    show_line = _safely(View.show_line)
    show_message = _safely(View.show_message)
    show_command = _safely(View.show_command)
    stop_spinner = _safely(View.stop_spinner)
    show_shutdown = _safely(View.show_shutdown)
    _close = _safely(View.close)

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
