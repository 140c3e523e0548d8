"""The methods of frozen dataclasses, written once."""

from __future__ import annotations

from dataclasses import fields
from functools import lru_cache
from typing import Any


class PlainValue:
    """A `repr`, `==` and a hash as `@dataclass` generates them, for a class with `repr=False, eq=False`.

    To generate them takes half of what a dataclass costs, and every command imports forty.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        own: Any = self
        shown = ", ".join(f"{one.name}={getattr(self, one.name)!r}" for one in fields(own) if one.repr)
        return f"{type(self).__qualname__}({shown})"

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return _compared(self) == _compared(other)

    def __hash__(self) -> int:
        return hash(_compared(self))


def field_names(value: PlainValue) -> tuple[str, ...]:
    """The names of the fields of a dataclass, in order."""
    kind: Any = type(value)
    return _names(kind)


@lru_cache(maxsize=256)  # each event asks several times, and `fields` looks at every field each time
def _names(kind: type) -> tuple[str, ...]:
    return tuple(one.name for one in fields(kind))


def _compared(value: Any) -> tuple[object, ...]:
    return tuple(getattr(value, one.name) for one in fields(value) if one.compare)
