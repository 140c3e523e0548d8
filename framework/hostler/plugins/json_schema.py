"""Exports the options of a plugin as JSON Schema, so that an editor can complete and check them."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

from hostler.model.schema.json_forms import SECRET, JsonSchema, duration_schema, one_of, quantity
from hostler.model.units import Duration, Size
from hostler.plugins.options import option_fields, option_type


def options_schema(class_: type) -> JsonSchema:
    """The schema of a plugin's table. Raises PluginError where the type of an option cannot be evaluated."""
    return {
        "type": "object",
        "description": (class_.__doc__ or "").strip().partition("\n")[0],
        "properties": {name: _option(class_, field) for name, field in option_fields(class_).items()},
        "additionalProperties": False,
    }


def _option(class_: type, field: dataclasses.Field[Any]) -> JsonSchema:
    import msgspec  # noqa: PLC0415 - only who asks for a schema needs it

    kind = option_type(class_, field)
    (schema,), parts = msgspec.json.schema_components([kind], schema_hook=_own_type)
    schema = _adapted(schema, parts)
    return {**schema, "description": str(field.metadata.get("meaning", ""))}


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
