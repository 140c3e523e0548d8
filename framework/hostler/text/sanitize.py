"""Text from elsewhere without control characters: nothing in it can steer a terminal."""

from __future__ import annotations

import re

# What moves the cursor, begins an escape sequence, or turns the direction of a line.
_CONTROLS = r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]"

_ANSI = r"\x1b\[[;?0-9]*[a-zA-Z]"


def harmless(text: str) -> str:
    """The text of a server, file or plugin without colours and without control characters."""
    if text.isascii() and text.replace("\n", "").isprintable():
        return text
    return re.sub(_CONTROLS, "�", re.sub(_ANSI, "", text.replace("\r\n", "\n")))


def one_line(text: str) -> str:
    """A name in a line of ours: it cannot end that line, nor begin another."""
    return " ".join(harmless(text).split())


def escaped(text: str) -> str:
    """A text in JSON or TOML in which no string holds such a character: they are written as escapes there."""
    return re.sub(_CONTROLS, lambda found: f"\\u{ord(found[0]):04x}", text)
