"""`${...}` in the strings of a configuration: found, filled in once, never run and never filled in again."""

from __future__ import annotations

import re
from collections.abc import Callable, Container

# Names of servers may hold a `-`, so what follows the first dot may too; `:-` begins the default.
# The alternatives exclude each other by their first characters, so a text is read once, whatever it holds.
_REFERENCE = re.compile(
    r"\$(?:(?P<escape>\$)|\{(?P<name>[A-Z_][A-Z0-9_]*(?:\.[A-Z0-9_-]+)*)(?::-(?P<default>[^{}]*))?\}|(?P<broken>\{))",
    re.ASCII | re.IGNORECASE,
)


class InterpolationError(ValueError):
    """The base of what can be wrong with a `${...}`; `position` counts characters from 0."""

    def __init__(self, message: str, position: int) -> None:
        super().__init__(message)
        self.position = position


class UndefinedName(InterpolationError):
    """Raised when nobody knows a name and it has no default; `name` stands without `${` and `}`."""

    def __init__(self, name: str, position: int) -> None:
        super().__init__(f"${{{name}}} is not defined", position)
        self.name = name


class MalformedReference(InterpolationError):
    """Raised when a `${` is not closed, names nothing, or has braces in its default."""

    def __init__(self, position: int) -> None:
        message = "a ${ that is not ${NAME} or ${NAME:-default}; a plain ${ is written $${"
        super().__init__(message, position)


def expand(text: str, lookup: Callable[[str], str | None], *, keep: Container[str] = ()) -> str:
    """Fill in every `${NAME}` and `${NAME:-default}` once; `$$` gives `$`, a lone `$` stays.

    The default is taken where `lookup` gives None or "". Names in `keep` are left for a second
    `expand`: the result is then again a template, in which `$$` stays and inserted values are
    escaped. Raises UndefinedName and MalformedReference.
    """
    staged = keep != ()

    def replacement(found: re.Match[str]) -> str:
        if found["escape"]:
            return "$$" if staged else "$"

        if found["broken"]:
            raise MalformedReference(found.start())

        if found["name"] in keep:
            return found[0]

        value = _value(found, lookup)
        return escape(value) if staged else value

    return _REFERENCE.sub(replacement, text)


def escape(text: str) -> str:
    """Write a text so that `expand` gives it back as it is."""
    return text.replace("$", "$$")


def insert(text: str, lookup: Callable[[str], str | None]) -> str:
    """Put the text of `lookup` in the place of every `${NAME}` that it knows; all else stays a template.

    What is put in is a template itself: what it refers to is filled in later, once. The default is
    taken where `lookup` gives "".
    """

    def replacement(found: re.Match[str]) -> str:
        value = None if not found["name"] else lookup(found["name"])

        if value is None:
            return found[0]

        return _closed(value or found["default"] or "")

    return _REFERENCE.sub(replacement, text)


def _closed(text: str) -> str:
    """A template that means the same whatever follows it: its last `$` is no beginning."""
    last = len(text) - len(text.rstrip("$"))
    return text + "$" * (last % 2)


def defaults(text: str) -> list[tuple[str, str]]:
    """List the names that have a default in a text, each with it as it is written."""
    return [(found["name"], found["default"]) for found in _REFERENCE.finditer(text) if found["default"]]


def names(text: str) -> list[str]:
    """List the names that a text refers to, in order. Raises MalformedReference."""
    listed = []

    for found in _REFERENCE.finditer(text):
        if found["broken"]:
            raise MalformedReference(found.start())

        if found["name"]:
            listed.append(found["name"])

    return listed


def _value(found: re.Match[str], lookup: Callable[[str], str | None]) -> str:
    value = lookup(found["name"])

    if not value and found["default"] is not None:
        return found["default"].replace("$$", "$")

    if value is None:
        raise UndefinedName(found["name"], found.start())

    return value
