"""Exports the options of a plugin as JSON Schema, so that an editor can complete and check them."""

from __future__ import annotations

import dataclasses
import tomllib
from pathlib import Path
from typing import Any

from hostler.model.schema.json_forms import SECRET, JsonSchema, duration_schema, one_of, quantity
from hostler.model.units import Duration, Size
from hostler.plugins.describe import default_text, needs_options
from hostler.plugins.options import option_fields, option_type


def options_schema(class_: type) -> JsonSchema:
    """The schema of a plugin's table. Raises PluginError where the type of an option cannot be evaluated.

    Its `default` is what `true` stands for; there is none where it needs options.
    """
    fields = option_fields(class_)
    defaults = {name: default_text(field) for name, field in fields.items()}
    known = {name: _value(text) for name, text in defaults.items() if text not in {"", "none"}}
    properties = {name: _option(class_, field) for name, field in fields.items()}
    return {
        "type": "object",
        "description": (class_.__doc__ or "").strip().partition("\n")[0],
        "properties": {
            name: {**schema, "default": known[name]} if name in known else schema
            for name, schema in properties.items()
        },
        "additionalProperties": False,
        **({} if needs_options(class_) else {"default": known}),
    }


def _value(text: str) -> object:
    """What TOML text stands for, as JSON has it."""
    return tomllib.loads(f"value = {text}")["value"]


def _option(class_: type, field: dataclasses.Field[Any]) -> JsonSchema:
    import msgspec  # noqa: PLC0415 - only who asks for a schema needs it

    kind = option_type(class_, field)
    (schema,), parts = msgspec.json.schema_components([kind], schema_hook=_own_type)
    schema = _adapted(schema, parts)
    required = " (required)" if not default_text(field) else ""
    return {**schema, "description": f"{field.metadata.get('meaning', '')}{required}"}


def _own_type(kind: type) -> JsonSchema:
    if kind is Duration:
        return duration_schema()
    if kind is Size:
        return quantity("B|KB|kB|MB|GB|KiB|MiB|GiB")
    return {"type": "string"} if kind is Path else {}  # what else the class takes, only the class knows


def _adapted(schema: Any, parts: dict[str, Any]) -> Any:
    """The same for TOML, which has no null; with parts in their places, and references beside fixed words."""
    match schema:
        case {"$ref": "#/$defs/Secret"}:
            return SECRET
        case {"$ref": str() as name}:
            return _adapted(parts[name.rpartition("/")[2]], parts)
        case {"anyOf": list() as kinds}:
            kinds = [_adapted(kind, parts) for kind in kinds if kind != {"type": "null"}]
            return kinds[0] if len(kinds) == 1 else {**schema, "anyOf": kinds}
        case {"enum": list() as words} if all(isinstance(word, str) for word in words):
            return one_of(words)
        case dict():
            return {key: _adapted(value, parts) for key, value in schema.items()}
        case _:
            return schema
