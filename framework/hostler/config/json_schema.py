"""The JSON Schema of a configuration, with the options of every installed plugin: for editors."""

from __future__ import annotations

from collections.abc import Mapping

from hostler.model.schema.json_forms import TEXTS, JsonSchema
from hostler.model.schema.server_keys import IN_DEFAULTS, RESTART_KEYS, SERVER_KEYS, Key

# The draft that the TOML language servers of the common editors read.
DRAFT = "http://json-schema.org/draft-07/schema#"
_PARAMETER = {"type": "string", "pattern": r"^\$\{parameter\.[A-Za-z_][A-Za-z0-9_]*\}$"}
_VALUE = {"type": ["string", "number", "boolean", "array"]}
_TEMPLATE: JsonSchema = {
    "description": "The template that it is made of, or a table with its name as `use` and its parameters",
    "anyOf": [
        {"type": "string"},
        {
            "type": "object",
            "properties": {"use": {"type": "string", "description": "The name of the template"}},
            "additionalProperties": _VALUE,
        },
    ],
}
_PARAMETERS: JsonSchema = {
    "type": "object",
    "description": "The parameters, each with its default, or { required = true }",
    "propertyNames": {"pattern": "^(?!use$)[A-Za-z_][A-Za-z0-9_]*$"},
    "additionalProperties": {
        "anyOf": [
            _VALUE,
            {
                "type": "object",
                "properties": {"required": {"const": True}},
                "required": ["required"],
                "additionalProperties": False,
            },
        ]
    },
}
_OWN_CLASS: JsonSchema = {"type": "object", "properties": {"use": {"type": "string"}}, "required": ["use"]}
_NAMES = {"pattern": "^[A-Za-z0-9_-]{1,64}$"}


def json_schema(plugins: Mapping[str, JsonSchema], listeners: Mapping[str, JsonSchema]) -> JsonSchema:
    """The schema of one file. `plugins` and `listeners`: the schema of each installed one's options, by name.

    A file may be a part that others extend, so no key is required. What only the whole can tell (names
    of servers, ports asked for twice) is left to `hostler check`.
    """
    return {
        "$schema": DRAFT,
        "title": "hostler",
        "type": "object",
        "properties": {
            "extends": {
                **TEXTS,
                "description": "Files that this one builds on, merged in order; this file comes last",
            },
            **_LAYER,
            "profiles": _tables(
                "#/definitions/profile", "What is laid over the rest when it is chosen, by name"
            ),
        },
        "additionalProperties": False,
        "if": {"not": {"anyOf": [{"required": ["extends"]}, _HAS_OWN_CLASSES]}},
        "then": {"properties": _NAMED},
        "definitions": {
            "server": _with_keys(_table(SERVER_KEYS), template=_TEMPLATE),
            "template": _template(),
            "defaults": _table({name: SERVER_KEYS[name] for name in IN_DEFAULTS}),
            "profile": {"type": "object", "properties": _LAYER, "additionalProperties": False},
            "restart": _table(RESTART_KEYS),
            "plugins": _plugins(plugins),
            "named_plugins": {"properties": {"plugins": _named(plugins)}},
            "listeners": _plugins(listeners),
            "named_listeners": _named(listeners),
            "template_plugins": _plugins({name: _with_parameters(one) for name, one in plugins.items()}),
        },
    }


def _tables(reference: str, meaning: str) -> JsonSchema:
    return {
        "type": "object",
        "description": meaning,
        "propertyNames": _NAMES,
        "additionalProperties": {"$ref": reference},
    }


_LAYER: JsonSchema = {
    "defaults": {
        "allOf": [{"$ref": "#/definitions/defaults"}],
        "description": "What all servers have in common, unless their tables say otherwise",
    },
    "listeners": {
        "allOf": [{"$ref": "#/definitions/listeners"}],
        "description": "The listeners by name, which follow every event of every server",
    },
    "servers": _tables("#/definitions/server", "The servers by name"),
    "templates": _tables("#/definitions/template", "What servers have in common, by name"),
}


def _unless(key: str, schema: JsonSchema) -> JsonSchema:
    """What holds only where this key is not there."""
    return {"if": {"not": {"required": [key]}}, "then": schema}


# A plugin that only another file, a template or what a profile changes gives a class to is named alone.
_HAS_OWN_CLASSES: JsonSchema = {
    "required": ["defaults"],
    "properties": {
        "defaults": {
            "required": ["plugins"],
            "properties": {"plugins": {"not": {"additionalProperties": {"not": _OWN_CLASS}}}},
        }
    },
}
_NAMED: JsonSchema = {
    "defaults": {"$ref": "#/definitions/named_plugins"},
    "listeners": {"$ref": "#/definitions/named_listeners"},
    "servers": {"additionalProperties": _unless("template", {"$ref": "#/definitions/named_plugins"})},
    "templates": {"additionalProperties": {"$ref": "#/definitions/named_plugins"}},
}


def _named(plugins: Mapping[str, JsonSchema]) -> JsonSchema:
    """A table of plugins that are installed, switched off, or say which class they are."""
    known: JsonSchema = {name: {} for name in plugins}
    return {"properties": known, "additionalProperties": {"anyOf": [{"const": False}, _OWN_CLASS]}}


def _template() -> JsonSchema:
    """As a server; any value may be a parameter, which has the type that the key wants."""
    plugins = {**_property(SERVER_KEYS["plugins"]), "allOf": [{"$ref": "#/definitions/template_plugins"}]}
    return _with_keys(_with_parameters(_table(SERVER_KEYS)), plugins=plugins, parameters=_PARAMETERS)


def _with_keys(table: JsonSchema, **keys: JsonSchema) -> JsonSchema:
    return {**table, "properties": {**table["properties"], **keys}}


def _with_parameters(table: JsonSchema) -> JsonSchema:
    """The same table, in which a parameter may stand for any value."""
    keys = {
        name: {"anyOf": [key, _PARAMETER], "description": key.get("description", "")}
        for name, key in table["properties"].items()
    }
    return _with_keys(table, **keys)


def _table(keys: Mapping[str, Key]) -> JsonSchema:
    return {
        "type": "object",
        "properties": {name: _property(key) for name, key in keys.items()},
        "additionalProperties": False,
    }


def _property(key: Key) -> JsonSchema:
    if "$ref" in key.schema:  # beside it, this server reads nothing
        return {"allOf": [key.schema], "description": key.meaning}
    return {**key.schema, "description": key.meaning}


def _plugins(plugins: Mapping[str, JsonSchema]) -> JsonSchema:
    kinds = {name: [{"type": "boolean"}, options, _OWN_CLASS] for name, options in plugins.items()}
    return {
        "type": "object",
        "properties": {
            name: {"anyOf": kinds[name], "description": options.get("description", "")}
            for name, options in plugins.items()
        },
        "additionalProperties": {"type": ["boolean", "object"]},
    }
