"""Values as JSON has them: the one form of events, crash records and status files."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from enum import Enum

from hostler.model.dataclass import field_names
from hostler.model.values import Endpoint

_AS_THEY_ARE = frozenset({str, int, float, bool, type(None)})


class Serializable:
    """A dataclass that JSON holds as an object with its fields."""

    __slots__ = ()

    def as_dict(self) -> dict[str, object]:
        """The fields as plain values for JSON."""
        return {name: to_json(getattr(self, name)) for name in field_names(self)}


def to_json(value: object) -> object:
    """The value in JSON's types. Text stands for what JSON has no type for, such as an object of a plugin."""
    if type(value) in _AS_THEY_ARE:  # almost all are
        return value
    match value:
        case Serializable():
            return value.as_dict()
        case Mapping():
            return {
                str(key): item if type(item) in _AS_THEY_ARE else to_json(item) for key, item in value.items()
            }
        case list() | tuple() | set() | frozenset():
            return [to_json(item) for item in value]
        case _:
            return _scalar(value)


def _scalar(value: object) -> str | float | None:
    match value:
        case Enum():
            return _scalar(value.value)
        case Endpoint():
            return value.url
        case datetime():
            return value.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        case str() | int() | float() | None:
            return value
        case _:
            return str(value)
