"""Parses notifications, and limits how often their status is shown."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

_SHOWN = 200
_PAUSE = 0.1


def parse(data: bytes) -> dict[str, str]:
    """The assignments of a message, one a line; of several of one name the last counts."""
    lines = data.decode("utf-8", "replace").split("\n")
    return {name: value for name, equals, value in (line.partition("=") for line in lines) if equals}


def readable(text: str) -> str:
    """A text from outside in one short line, without control characters."""
    return "".join(letter if letter.isprintable() else " " for letter in text[:_SHOWN]).strip()


class StatusLine:
    """Shows texts that may come in any number: each new one, but no more than ten in a second."""

    def __init__(self, show: Callable[[str], None]) -> None:
        self.text = ""
        self._show = show
        self._shown = ""
        self._pause: asyncio.TimerHandle | None = None

    def show(self, text: str) -> None:
        """Show a text now, or a moment later if it is still the last one then."""
        self.text = text
        if self._pause is None and text != self._shown:
            self._shown = text
            self._show(text)
            self._pause = asyncio.get_running_loop().call_later(_PAUSE, self._go_on)

    def close(self) -> None:
        """Show nothing any more."""
        if self._pause is not None:
            self._pause.cancel()

    def _go_on(self) -> None:
        self._pause = None
        self.show(self.text)
