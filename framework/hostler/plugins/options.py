"""Builds a plugin object from its TOML table, or reports every mistake in the table at once."""

from __future__ import annotations

import dataclasses
import math
import os
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from enum import Enum
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType, SimpleNamespace
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from hostler.errors import PluginError, Problem
from hostler.model.schema import foreign_words
from hostler.model.schema.diagnostics import likely, worded
from hostler.model.schema.server_keys import SERVER_KEYS
from hostler.model.spec import ListenerSpec, PluginSpec
from hostler.model.units import Duration, Size, likely_duration, likely_duration_of, likely_size
from hostler.plugins.discovery import find_class
from hostler.plugins.messages import fault_in, file_of, said
from hostler.plugins.signatures import check_hooks, check_listener, check_plugin

# How msgspec words a mistake: "Expected `int | null`, got `str` - at `$[1]`".
_AT = r"(?s)(?P<message>.*) - at `\$(?P<path>.*)`"
_TYPES = r"Expected `(?P<wanted>[^`]*)`, got `(?P<found>[^`]*)`"
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


def build(spec: PluginSpec) -> object:
    """Make the plugin object that a spec describes, with its hooks checked.

    Raises PluginError when the class cannot be found, is malformed, or does not accept its options.
    """
    plugin, problems = _built(spec, find_class)
    if problems:
        raise PluginError(
            f'{spec.noun} "{spec.name}" cannot be used:\n'
            + "\n".join(f"  {problem}" for problem in problems),
            details={"problems": tuple(problems)},
        )

    assert plugin is not None
    return plugin


def option_problems(spec: PluginSpec, find: Callable[[PluginSpec], type] = find_class) -> list[Problem]:
    """Every mistake in a plugin's table; keys are relative to it, "" is the plugin itself.

    A plugin that cannot be found or is malformed is a problem too, so nothing is raised.
    """
    try:
        return _built(spec, find)[1]
    except PluginError as error:
        proposal = str(error.context.details.get("proposal", ""))
        hint = f"; {error.context.hint}" if error.context.hint and not proposal else ""
        return [Problem("", error.message + hint, proposal=proposal)]


def _built(spec: PluginSpec, find: Callable[[PluginSpec], type]) -> tuple[object | None, list[Problem]]:
    if spec.instance is None:
        return construct(plugin_class(spec, find), spec.options)
    _check(spec, spec.instance)
    return spec.instance, []


def _check(spec: PluginSpec, plugin: object) -> None:
    if isinstance(spec, ListenerSpec):
        check_listener(spec.name, plugin)
    elif plugin is spec.instance:
        check_plugin(spec.name, plugin)
    else:
        check_hooks(spec.name, plugin)


def plugin_class(spec: PluginSpec, find: Callable[[PluginSpec], type] = find_class) -> type:
    """Find the class of a plugin or listener; raises PluginError unless it is a dataclass that can be called.

    A plugin has `eq=False` and a hook, a listener has `listen`.
    """
    class_ = find(spec)
    if not dataclasses.is_dataclass(class_):
        raise PluginError(
            f'{spec.noun} "{spec.name}": {class_.__qualname__} is no dataclass',
            hint="declare it with @dataclass(eq=False); its fields are its options",
        )
    _check(spec, class_)
    return class_


def option_fields(class_: type) -> dict[str, dataclasses.Field[Any]]:
    """The fields that are options, by name; those with `init=False` are run state."""
    # Keyword-only ones last, as in the signature: what is inherited (PollOptions) comes after a plugin's own.
    fields = sorted(dataclasses.fields(class_), key=lambda field: bool(field.kw_only))
    return {field.name: field for field in fields if field.init}


@lru_cache(maxsize=1024)  # every server with the plugin asks
def option_type(class_: type, field: dataclasses.Field[Any]) -> Any:
    """The type of one option, evaluated; raises PluginError where its annotation cannot be."""
    # Only this annotation: those of run state may name what is imported for type checkers alone.
    known: dict[str, Any] = {}

    for base in reversed(class_.__mro__):
        known |= vars(sys.modules[base.__module__]) if base.__module__ in sys.modules else {}

    holder = SimpleNamespace(__annotations__={field.name: field.type})
    try:
        return get_type_hints(holder, globalns=known, localns=dict(vars(class_)), include_extras=True)[
            field.name
        ]
    except Exception as error:
        raise PluginError(
            f"{class_.__qualname__}.{field.name}: the type {field.type} cannot be evaluated: {said(error)}",
            hint="import what an option's type needs at run time, not under TYPE_CHECKING",
        ) from error


def convert(class_: type, field: dataclasses.Field[Any], value: object) -> Any:
    """Turn the TOML value of one option into what its field holds; raises msgspec.ValidationError."""
    try:
        return msgspec.convert(value, option_type(class_, field), dec_hook=_decode)
    except TypeError as error:
        raise PluginError(
            f"the type of {class_.__qualname__}.{field.name} cannot be an option: {error}"
        ) from error


def construct(class_: type, options: Mapping[str, Any]) -> tuple[object | None, list[Problem]]:
    """Make a plugin object, or None and every mistake in its options; its hooks are not looked at."""
    fields = option_fields(class_)
    problems = [_unknown(key, fields) for key in options if key not in fields]
    meant = {problem.proposal for problem in problems}
    values: dict[str, Any] = {}

    for name, field in fields.items():
        if name not in options:
            is_missing = _required(field) and name not in meant
            problems += [Problem(name, "this option is required")] if is_missing else []
            continue
        if isinstance(options[name], float) and not math.isfinite(options[name]):  # TOML has nan and inf
            problems.append(Problem(name, f"expected a number that is one, found {options[name]}"))
            continue
        try:
            values[name] = convert(class_, field, options[name])
        except msgspec.ValidationError as error:
            problems.append(_wrong_value(option_type(class_, field), name, options[name], str(error)))

    if problems:
        return None, problems

    try:
        return class_(**values), []
    except Exception as error:  # noqa: BLE001 - a plugin's __post_init__ refuses in many ways
        return None, [_refusal(error, fields, file_of(class_))]


def _decode(kind: type, value: object) -> object:
    if kind in {Duration, Size}:
        try:
            # A bare number is refused by `parse` too: the sentence about the unit is the same.
            return kind.parse(str(value))
        except ValueError as error:
            raise ValueError(f"{error}, found {worded(value)}") from None

    if kind is Path and isinstance(value, str):
        path = os.path.expanduser(value)  # noqa: PTH111 - Path.expanduser raises RuntimeError
        if path.startswith("~"):
            raise ValueError(f"expected a home directory that exists, found {worded(value)}")
        return Path(path)

    raise ValueError(f"expected {'a path' if kind is Path else kind.__name__}, found {worded(value)}")


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _unknown(key: str, fields: Iterable[str]) -> Problem:
    proposal = next((one for one in foreign_words.options(key) if one in fields), "") or likely(key, fields)
    if key in {"enabled", "enable", "disabled", "disable"}:
        return Problem(key, "unknown option; a plugin is switched off by false, PLUGIN = false")
    allowed = f"there are: {', '.join(fields) or 'none'}"
    rest = f"{key} is a key of the server: write it in [servers.NAME]" if key in SERVER_KEYS else allowed
    return Problem(key, "unknown option" if proposal else f"unknown option; {rest}", proposal=proposal)


# -- what is wrong, in words ----------------------------------------------------------------------


def _wrong_value(hint: Any, name: str, value: object, message: str) -> Problem:
    """The problem of a value that msgspec did not accept for the type `hint`, from msgspec's message."""
    at = re.fullmatch(_AT, message)
    path, text = (at["path"], at["message"]) if at else ("", message)
    choices = _choices(hint)
    if choices and not path:
        allowed = ", ".join(f'"{choice}"' for choice in choices)
        word = value if isinstance(value, str) else ""
        proposal = likely(word, choices) or likely(word.upper(), choices)
        return Problem(name, f"expected one of {allowed}, found {worded(value)}", proposal=proposal)

    types = re.fullmatch(_TYPES, text)
    if types is None:
        return Problem(name + path, text, proposal="" if path else _with_unit(hint, value))

    secret = "Secret" in str(hint) and types["found"] != "array"
    found = _WORDS.get(types["found"], types["found"]) if path or isinstance(value, str) else worded(value)
    example = "" if path else _as_wanted(types["wanted"], value)
    return Problem(name + path, f"expected {_wanted(types['wanted'], secret=secret)}{example}, found {found}")


def example_of(spec: PluginSpec, value: object) -> str:
    """A value as the first option of a plugin, `{ path = "x.log" }`; "" where it cannot be that."""
    try:
        class_ = plugin_class(spec)
        name, field = next(iter(option_fields(class_).items()))
        is_line = name == "command" and isinstance(value, str)
        for given in (value, _words(str(value)) if is_line else [value]) if field.repr else ():
            with suppress(msgspec.ValidationError):
                convert(class_, field, given)
                return f"{{ {name} = {_in_toml(given)} }}"
    except (PluginError, StopIteration):
        pass
    return ""


def _as_wanted(wanted: str, value: object) -> str:
    """How a value of another type is written as one that is allowed; "" where it cannot be."""
    types = set(wanted.split(" | "))
    # A text may be a secret, whatever the name of its option.
    if isinstance(value, str) and "int" in types and value.isdecimal():
        return " (write it without quotes)"
    if isinstance(value, str) and "array" in types and "str" not in types:
        return ', such as ["..."]'
    if "str" in types and isinstance(value, int) and not isinstance(value, bool):
        return f" (write {_in_toml(str(value))})"
    return ', such as { NAME = "value" }' if "object" in types and isinstance(value, list) else ""


def _words(line: str) -> list[str]:
    import shlex  # noqa: PLC0415 - only this message needs it

    try:
        return shlex.split(line)
    except ValueError:
        return [line]


def _in_toml(value: object) -> str:
    if isinstance(value, list):
        return f"[{', '.join(map(_in_toml, value))}]"
    return worded(value)


def _refusal(error: Exception, fields: Iterable[str], file: str) -> Problem:
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
    if not isinstance(value, str | int | float) or isinstance(value, bool) or {Duration, Size} <= kinds:
        return ""
    if Duration in kinds:
        return likely_duration(value) if isinstance(value, str) else likely_duration_of(value)
    return likely_size(str(value)) if Size in kinds else ""


def _choices(hint: Any) -> list[str]:
    if get_origin(hint) is Literal:
        return [str(choice) for choice in get_args(hint)]
    return [str(member.value) for member in hint] if isinstance(hint, type) and issubclass(hint, Enum) else []
