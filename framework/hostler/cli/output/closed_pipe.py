"""A view whose reader may go away."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Callable

from hostler.cli.output.view import View
from hostler.events.events import Event
from hostler.model.spec import Configuration
from hostler.model.values import Line

_GONE = (errno.EPIPE, errno.EIO)


class PipeSafeView(View):
    """Passes everything on to `view`. When nobody reads any more, `on_gone` is called and all goes nowhere.

    What cannot be written for another reason (a full disk) is left out, and nothing ends for it.
    """

    def __init__(self, view: View, on_gone: Callable[[], None]) -> None:
        self._view = view
        self._on_gone = on_gone

    def learn_names(self, configuration: Configuration) -> None:
        """Learn what to call the servers of a configuration."""
        self._view.learn_names(configuration)

    def show(self, event: Event) -> None:
        """Show an event."""
        self._try(lambda: self._view.show(event))

    def show_line(self, server: str, line: Line) -> None:
        """Show one line of a server's output."""
        self._try(lambda: self._view.show_line(server, line))

    def show_message(self, text: str, *, error: bool = False) -> None:
        """Show a message of hostler's own."""
        self._try(lambda: self._view.show_message(text, error=error))

    def stop_spinner(self) -> None:
        """Draw nothing any more that moves."""
        self._try(self._view.stop_spinner)

    def show_shutdown(self) -> None:
        """Show that a signal has begun the shutdown."""
        self._try(self._view.show_shutdown)

    def close(self) -> None:
        """End; nothing is shown any more."""
        self._try(self._view.close)
        _discard_broken_output()

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            if error.errno in _GONE:
                _discard_broken_output()
                self._on_gone()


def _discard_broken_output() -> None:
    """Put the null device in the place of what is broken: Python flushes what it still holds at its end."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except OSError:
            os.dup2(nowhere, stream.fileno())
    os.close(nowhere)
