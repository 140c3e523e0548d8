"""What was seen before a start: a mistake, or a warning."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Literal, TypeAlias

from msgspec import Struct

from hostler.errors import ServerError

Severity: TypeAlias = Literal["mistake", "warning"]


class Observation(Struct, frozen=True):
    """One thing that was seen: a mistake would fail the start, a warning would surprise.

    `key` is the dotted key of what it is about, `message` says what to do.
    """

    key: str
    message: str
    severity: Severity = "mistake"


def failure(key: str, attempt: Callable[[], object], severity: Severity = "mistake") -> Iterator[Observation]:
    """What a start would fail with there; nothing where it works."""
    try:
        attempt()
    except ServerError as error:
        yield Observation(key, sentence(error), severity)


def sentence(error: ServerError) -> str:
    """What happened, and what to do, in one line where it is one."""
    return f"{error.message}; {error.context.hint}".removesuffix("; ")
