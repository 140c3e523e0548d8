"""What is mostly meant by the sentences in which tomllib refuses a file."""

from __future__ import annotations

import re
from collections.abc import Iterator

_TWICE = re.compile(r"Cannot declare \((?P<keys>.*?),?\) twice")
_WORD = re.compile(r"[A-Za-z_./~-]")


def hint(message: str, row: str, column: int) -> str:
    """The message, with what to do about it where the line that it is about tells that."""
    return message + next(_advice(message, row[: column - 1].rstrip(), row[column - 1 : column]), "")


def _advice(message: str, before: str, here: str) -> Iterator[str]:
    twice = _TWICE.fullmatch(message)

    if twice is not None:
        name = ".".join(key.strip().strip("'\"") for key in twice["keys"].split(","))
        yield f": write the keys of this [{name}] where {name} stands first"

    if message == "Cannot overwrite a value":
        yield ": this key is here for the second time"

    if message.startswith("Cannot mutate immutable namespace"):
        yield ": it was written as { ... } above; write the key in there"

    if message.startswith("Invalid initial character for a key part") and before.endswith(("{", ",")):
        yield "; { ... } has to stand on one line, without a comma at its end"

    if message == "Invalid value" and _WORD.match(here) and before.endswith(("=", "[", ",")):
        yield "; a text needs quotes"

    if message.startswith(r"Illegal character '\n'"):
        yield "; is a quote missing at the end?"

    if "hex value" in message or message.startswith("Unescaped '\\'"):
        yield r"; in double quotes a \ is written \\, in single quotes it is itself"
