"""The JSON Schema of a configuration, with the options of every installed plugin: for editors."""

from __future__ import annotations

from collections.abc import Mapping

from hostler.config.dump import as_written
from hostler.config.provenance import as_toml
from hostler.model.schema.control_keys import CONTROL_KEYS
from hostler.model.schema.json_forms import TEXTS, JsonSchema
from hostler.model.schema.server_keys import IN_DEFAULTS, RESTART_KEYS, SERVER_KEYS, Key
from hostler.model.spec import ControlSpec, RestartPolicy, ServerSpec

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
_LONGEST = 80
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
        "definitions": _definitions(plugins, listeners),
    }


def _definitions(plugins: Mapping[str, JsonSchema], listeners: Mapping[str, JsonSchema]) -> JsonSchema:
    spec = ServerSpec(name="any")
    return {
        "server": _with_keys(_table(SERVER_KEYS, spec), template=_TEMPLATE),
        "template": _template(spec),
        "defaults": _table({name: SERVER_KEYS[name] for name in IN_DEFAULTS}, spec),
        "profile": {"type": "object", "properties": _LAYER, "additionalProperties": False},
        "restart": _table(RESTART_KEYS, RestartPolicy()),
        "plugins": _plugins(plugins),
        "named_plugins": {"properties": {"plugins": _named(plugins)}},
        "control": _table(CONTROL_KEYS, ControlSpec()),
        "listeners": _plugins(listeners),
        "named_listeners": _named(listeners),
        "template_plugins": _plugins({name: _with_parameters(one) for name, one in plugins.items()}),
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
    "control": {
        "allOf": [{"$ref": "#/definitions/control"}],
        "description": "How other commands and programs reach hostler while it runs",
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


def _template(spec: ServerSpec) -> JsonSchema:
    """As a server; any value may be a parameter, which has the type that the key wants."""
    plugins = {
        "description": SERVER_KEYS["plugins"].meaning,
        "allOf": [{"$ref": "#/definitions/template_plugins"}],
    }
    return _with_keys(_with_parameters(_table(SERVER_KEYS, spec)), plugins=plugins, parameters=_PARAMETERS)


def _with_keys(table: JsonSchema, **keys: JsonSchema) -> JsonSchema:
    return {**table, "properties": {**table["properties"], **keys}}


def _with_parameters(table: JsonSchema) -> JsonSchema:
    """The same table, in which a parameter may stand for any value."""
    keys = {name: {**_hover(key), "anyOf": [key, _PARAMETER]} for name, key in table["properties"].items()}
    return _with_keys(table, **keys)


def _hover(schema: JsonSchema) -> JsonSchema:
    """What an editor shows of a key."""
    return {"description": "", **{key: schema[key] for key in ("description", "default") if key in schema}}


def _table(keys: Mapping[str, Key], spec: ServerSpec | RestartPolicy | ControlSpec) -> JsonSchema:
    """A table of these keys, whose defaults are those of the spec."""
    return {
        "type": "object",
        "properties": {
            name: _property(key, as_written(name, getattr(spec, name))) for name, key in keys.items()
        },
        "additionalProperties": False,
    }


def _property(key: Key, default: object) -> JsonSchema:
    # Beside a reference, this server reads nothing.
    schema = {"allOf": [key.schema]} if "$ref" in key.schema else key.schema
    if key.default:
        return {**schema, "description": f"{key.meaning}. Default: {key.default}"}
    return {**schema, "description": key.meaning, "default": default}


def _plugins(plugins: Mapping[str, JsonSchema]) -> JsonSchema:
    return {
        "type": "object",
        "properties": {name: _plugin(options) for name, options in plugins.items()},
        "additionalProperties": {"type": ["boolean", "object"]},
    }


def _plugin(options: JsonSchema) -> JsonSchema:
    """True, false, a table of options, or one with a class of one's own; editors show what `true` means."""
    summary, on = options.get("description", ""), _meaning_of_true(options)
    switches = [{"const": True, "description": on}, {"const": False, "description": "Off"}]
    return {
        "anyOf": [*switches, options, _OWN_CLASS],
        "description": f"{summary}\n\n`true`: {on[:1].lower()}{on[1:]}",
    }


def _meaning_of_true(options: JsonSchema) -> str:
    if "default" not in options:
        return "On, with the options of a file that this one extends or of `[defaults]`; it needs some"
    defaults = ", ".join(f"{name} = {_shortened(value)}" for name, value in options["default"].items())
    return f"On, with its defaults: {defaults}" if defaults else "On"


def _shortened(value: object) -> str:
    text = as_toml(value)
    return text if len(text) <= _LONGEST or not isinstance(value, list) else "[...]"
