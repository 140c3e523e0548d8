"""What each kind of value may be, as JSON Schema: for editors."""

from __future__ import annotations

from typing import Any, TypeAlias

from hostler.model.dependencies import Condition, OnRestart

JsonSchema: TypeAlias = dict[str, Any]

# `${...}` is filled in before a value is read: any text that holds one may come out right.
REFERENCE = r"\$\{"

WORD: JsonSchema = {"type": "string", "minLength": 1}
FLAG: JsonSchema = {"type": "boolean"}
TEXTS: JsonSchema = {"type": "array", "items": {"type": "string"}}
COMMAND: JsonSchema = {"anyOf": [WORD, TEXTS]}
SECRET: JsonSchema = {
    "type": "object",
    "properties": {"secret": {"type": "string", "pattern": rf"^(env|file):.|{REFERENCE}"}},
    "required": ["secret"],
    "additionalProperties": False,
    "description": "Where a secret is stored: env:NAME or file:PATH; read at each start, masked everywhere",
}


def one_of(words: list[str]) -> JsonSchema:
    """One of a few words, or a reference to one."""
    return {"anyOf": [{"enum": words}, {"type": "string", "pattern": REFERENCE}]}


def quantity(units: str) -> JsonSchema:
    """A number with a unit, as a string."""
    return {"type": "string", "pattern": rf"^\s*\d+(\.\d+)?\s*({units})\s*$|{REFERENCE}"}


def duration_schema() -> JsonSchema:
    """A duration such as "500ms"."""
    return quantity("ms|s|min|m|h|d")


def whole(lowest: int, highest: int | None = None) -> JsonSchema:
    """A whole number, or a reference to one."""
    number: JsonSchema = {"type": "integer", "minimum": lowest}
    number |= {} if highest is None else {"maximum": highest}
    return {"anyOf": [number, {"type": "string", "pattern": REFERENCE}]}


# -- the forms of single keys ----------------------------------------------------------------------

PORT: JsonSchema = {"anyOf": [*whole(0, 65535)["anyOf"], {"const": False}]}
SCHEME: JsonSchema = {"type": "string", "pattern": rf"^[a-z][a-z0-9+.-]*$|{REFERENCE}"}
VARIABLES: JsonSchema = {
    "type": "object",
    "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_.-]*$"},
    "additionalProperties": {"anyOf": [{"type": "string"}, SECRET]},
}
EXIT_CODES: JsonSchema = {
    "type": "array",
    "items": {
        "anyOf": [
            {"type": "integer", "minimum": 0, "maximum": 255},
            {"type": "string", "pattern": rf"^SIG[A-Z0-9]+$|{REFERENCE}"},
        ]
    },
}
_ENV_FILE: JsonSchema = {
    "anyOf": [
        WORD,
        {
            "type": "object",
            "properties": {"path": WORD, "optional": FLAG},
            "required": ["path"],
            "additionalProperties": False,
        },
    ]
}
ENV_FILES: JsonSchema = {"anyOf": [*_ENV_FILE["anyOf"], {"type": "array", "items": _ENV_FILE}]}
_CONDITION = one_of([condition.value for condition in Condition])
_NEED: JsonSchema = {
    "type": "object",
    "properties": {
        "condition": _CONDITION,
        "on_restart": one_of([choice.value for choice in OnRestart]),
    },
    "additionalProperties": False,
}
NEEDS: JsonSchema = {
    "anyOf": [TEXTS, {"type": "object", "additionalProperties": {"anyOf": [_CONDITION, _NEED]}}]
}
