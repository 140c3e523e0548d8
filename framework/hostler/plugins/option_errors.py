"""What is wrong with the value of an option, in words: what is allowed, what was found, what was meant."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import Enum
from types import MappingProxyType
from typing import Any, Literal, get_args, get_origin

from hostler.errors import Problem
from hostler.model.schema.diagnostics import likely, worded
from hostler.model.units import Duration, Size
from hostler.plugins.messages import fault_in

# How msgspec words a mistake: "Expected `int | null`, got `str` - at `$[1]`".
_AT = re.compile(r"(?P<message>.*) - at `\$(?P<path>.*)`", re.DOTALL)
_TYPES = re.compile(r"Expected `(?P<wanted>[^`]*)`, got `(?P<found>[^`]*)`")
_NOTHING = "null"
_WORDS = MappingProxyType(
    {
        "str": "a string",
        "int": "a whole number",
        "float": "a number",
        "bool": "true or false",
        "array": "a list",
        "object": "a table",
        "path": "a path",
    }
)


def wrong_value(hint: Any, name: str, value: object, message: str) -> Problem:
    """The problem of a value that msgspec did not accept for the type `hint`, from msgspec's message."""
    at = _AT.fullmatch(message)
    path, text = (at["path"], at["message"]) if at else ("", message)
    choices = _choices(hint)
    if choices and not path:
        allowed = ", ".join(f'"{choice}"' for choice in choices)
        proposal = likely(value, choices) if isinstance(value, str) else ""
        return Problem(name, f"expected one of {allowed}, found {worded(value)}", proposal=proposal)

    types = _TYPES.fullmatch(text)
    if types is None:
        return Problem(name + path, text, proposal="" if path else _with_unit(hint, value))

    secret = "Secret" in str(hint)
    found = _WORDS.get(types["found"], types["found"]) if path or isinstance(value, str) else worded(value)
    return Problem(name + path, f"expected {_wanted(types['wanted'], secret=secret)}, found {found}")


def refusal(error: Exception, fields: Iterable[str], file: str) -> Problem:
    """The problem that a ValueError states; "name: what is wrong" is a problem of that option.

    What is raised otherwise is a fault of the plugin, and told with its line in the plugin's file.
    """
    meant = isinstance(error, ValueError) and str(error)
    text = str(error) if meant else f"{file}: {fault_in(error, file)}"
    name, colon, rest = text.partition(": ")
    return Problem(name, rest) if colon and name in fields else Problem("", text)


def _wanted(types: str, *, secret: bool) -> str:
    words = {**_WORDS, "object": '{ secret = "env:NAME" }'} if secret else _WORDS
    return " or ".join(words.get(word, word) for word in types.split(" | ") if word != _NOTHING)


def _with_unit(hint: Any, value: object) -> str:
    """A bare number with the unit that was probably meant, where the unit is all that is missing."""
    kinds = {hint, *get_args(hint)}
    return f"{value}s" if Duration in kinds and type(value) in {int, float} and Size not in kinds else ""


def _choices(hint: Any) -> list[str]:
    if get_origin(hint) is Literal:
        return [str(choice) for choice in get_args(hint)]
    return [str(member.value) for member in hint] if isinstance(hint, type) and issubclass(hint, Enum) else []
