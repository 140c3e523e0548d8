"""Streams for text that leaves hostler: nothing in it can steer a terminal, whoever writes it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, TextIO, cast

from hostler.text.sanitize import harmless


class _SafeStream:
    """A stream for text that may quote a configuration, a server or a plugin."""

    def __init__(self, stream: TextIO) -> None:
        self.stream = stream

    def write(self, text: str | bytes) -> int:
        """Write the text without control characters; click gives the script of a shell as bytes."""
        if isinstance(text, bytes):
            text = text.decode()
        return self.stream.write(harmless(text))

    def writelines(self, lines: Iterable[str]) -> None:
        """Write each as `write` does."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # click writes to it, past us, where the encoding is ASCII
            raise AttributeError(name)
        return getattr(self.stream, name)


def safe_stream(stream: TextIO) -> TextIO:
    """Wrap the stream, unless it is wrapped already."""
    return stream if isinstance(stream, _SafeStream) else cast("TextIO", _SafeStream(stream))


def raw_stream(stream: TextIO) -> TextIO:
    """The stream behind, for a writer that steers the terminal and makes all other text safe itself."""
    return stream.stream if isinstance(stream, _SafeStream) else stream
