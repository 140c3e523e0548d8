"""Whether the content of an answer is what was asked for."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

_SHOWN = 200


def differences(expected: Mapping[str, Any], body: str) -> Iterator[str]:
    """What of a JSON body is not as expected, in words; keys may be dotted."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        yield "its body is not JSON"
        return
    yield from _differences(expected, found, "")


def brief(text: str) -> str:
    """A text from outside in one short line."""
    shown = "".join(letter if letter.isprintable() else " " for letter in text[: 4 * _SHOWN])
    return " ".join(shown.split())[:_SHOWN]


def _differences(expected: Mapping[str, Any], found: object, place: str) -> Iterator[str]:
    for key, wanted in expected.items():
        where = f"{place}.{key}" if place else key
        value = _at(found, key)
        if isinstance(wanted, Mapping):
            yield from _differences(wanted, value, where)
        elif not _same(wanted, value):
            yield f"{where} is {brief(json.dumps(value))}, not {brief(json.dumps(wanted))}"


def _at(value: object, key: str) -> object:
    """What stands at a dotted key; None where nothing does. A key that holds dots itself goes first."""
    for part in [key] if isinstance(value, dict) and key in value else key.split("."):
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def _same(wanted: object, found: object) -> bool:
    """Equality as in JSON, where true is not 1."""
    return wanted == found and isinstance(wanted, bool) == isinstance(found, bool)
