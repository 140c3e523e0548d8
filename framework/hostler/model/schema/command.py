"""The value of `command`: a list of words, or a line that is split into them."""

from __future__ import annotations

from hostler.model.schema.diagnostics import Diagnostics, shown
from hostler.model.schema.fields import text, texts
from hostler.model.schema.masked import without_defaults
from hostler.model.schema.tree import Node


def command(node: Node, found: Diagnostics) -> tuple[str, ...] | None:
    """An argv, or a line that is split into one; the list may be empty, its program may not."""
    if isinstance(node.value, str):
        return None if (line := _line(node, found)) is None else tuple(line)
    if not isinstance(node.value, list):
        example = '"npm start" or ["npm", "start"]'
        found.expected(node, f"a program with its arguments, one string or a list, such as {example}")
        return None
    for item in node.value:
        if "secret" in item.table:
            found.add(item, "all users can read a command line: write the secret in env")
    words = texts(node, found)
    if words and not words[0]:
        found.expected(node.value[0], "a program")
        return None
    return words


def _line(node: Node, found: Diagnostics) -> list[str] | None:
    """The words of a command that is one string; why it cannot be split is noted."""
    from hostler.text.command_line import NotACommandLine, split  # noqa: PLC0415 - few commands are one string

    if text(node, found) is None:
        return None
    try:
        return split(node.value)
    except NotACommandLine as error:
        found.add(node, str(error) if node.source_text is None else _of_source(node))
        return None


def _of_source(node: Node) -> str:
    """Why a line with `${...}` cannot be split, without the value of a variable or a secret default."""
    from hostler.text.command_line import NotACommandLine, split  # noqa: PLC0415 - as above

    try:
        split(without_defaults(node.source_text or ""))
    except NotACommandLine as error:
        return str(error)
    return f"{shown(node)} is not a command line"
