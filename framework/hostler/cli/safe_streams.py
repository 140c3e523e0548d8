"""Streams for text that leaves hostler: nothing in it can steer a terminal, whoever writes it."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable
from io import TextIOWrapper
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


def prepare_streams() -> None:
    """Have streams to write to; no character in what we write ends us, or steers the terminal."""
    # Python sets them to None where a service manager has closed their descriptors.
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    escape_unencodable()
    sys.stdout, sys.stderr = safe_stream(sys.stdout), safe_stream(sys.stderr)


def escape_unencodable() -> None:
    """Write as escapes what the encoding of the terminal does not have: a path may have any character."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _nowhere() -> TextIO:
    # It is never closed, so Python must not warn that it was not.
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)


def write_line(stream: TextIO | None, text: str) -> None:
    """Write lines at once; nowhere, where the stream was closed before we began."""
    if stream is None:
        return
    try:
        stream.write(text + "\n")
        stream.flush()
    except OSError:
        discard(stream)
        raise


def discard(stream: TextIO) -> None:
    """Lose what could not be written: Python would try again at its end, and exit with a code of its own."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
