"""Where text leaves hostler: whoever writes, nothing that plays with a terminal gets out."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TextIO, cast

from hostler.text.sanitize import harmless


class _Edge:
    """A stream for text that may quote a configuration, a server or a plugin. The rest is the stream's."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write it without what would play with a terminal."""
        return self.stream.write(harmless(text))

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each as `write` does."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


def guarded(stream: TextIO) -> TextIO:
    """The stream as an edge; the same one when it is one already."""
    return stream if isinstance(stream, _Edge) else cast("TextIO", _Edge(stream))


def unguarded(stream: TextIO) -> TextIO:
    """What is behind the edge, for who writes orders to the terminal and looks after the rest itself."""
    return stream.stream if isinstance(stream, _Edge) else stream
