"""From the options of a plugin's TOML table to a plugin object, or to every mistake in the table at once."""

from __future__ import annotations

import dataclasses
import math
import os
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, get_type_hints

import msgspec

from hostler.errors import PluginError, Problem
from hostler.model.schema.diagnostics import likely, worded
from hostler.model.spec import PluginSpec
from hostler.model.units import Duration, Size
from hostler.plugins.discovery import find_class
from hostler.plugins.messages import file_of, said
from hostler.plugins.option_errors import refusal, wrong_value
from hostler.plugins.signatures import check_hooks, check_plugin


def build(spec: PluginSpec) -> object:
    """Make the plugin object that a spec describes, with its hooks checked.

    Raises PluginError when the class cannot be found, is malformed, or does not accept its options.
    """
    plugin, problems = _built(spec)
    if problems:
        raise PluginError(
            f'plugin "{spec.name}" cannot be used:\n' + "\n".join(f"  {problem}" for problem in problems),
            details={"problems": tuple(problems)},
        )

    assert plugin is not None
    return plugin


def option_problems(spec: PluginSpec) -> list[Problem]:
    """Every mistake in a plugin's table; keys are relative to it, "" is the plugin itself.

    A plugin that cannot be found or is malformed is a problem too, so nothing is raised.
    """
    try:
        return _built(spec)[1]
    except PluginError as error:
        proposal = str(error.context.details.get("proposal", ""))
        hint = f"; {error.context.hint}" if error.context.hint and not proposal else ""
        return [Problem("", error.message + hint, proposal=proposal)]


def _built(spec: PluginSpec) -> tuple[object | None, list[Problem]]:
    if spec.instance is None:
        return construct(plugin_class(spec), spec.options)
    check_plugin(spec.name, spec.instance)
    return spec.instance, []


def plugin_class(spec: PluginSpec) -> type:
    """Find the class of a plugin; raises PluginError unless it is a dataclass with eq=False and a hook."""
    class_ = find_class(spec)
    if not dataclasses.is_dataclass(class_):
        raise PluginError(
            f'plugin "{spec.name}": {class_.__qualname__} is no dataclass',
            hint="declare it with @dataclass(eq=False); its fields are its options",
        )
    check_hooks(spec.name, class_)
    return class_


def option_fields(class_: type) -> dict[str, dataclasses.Field[Any]]:
    """The fields that are options, by name; those with `init=False` are run state."""
    # Keyword-only ones last, as in the signature: what is inherited (PollOptions) comes after a plugin's own.
    fields = sorted(dataclasses.fields(class_), key=lambda field: bool(field.kw_only))
    return {field.name: field for field in fields if field.init}


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
    values: dict[str, Any] = {}

    for name, field in fields.items():
        if name not in options:
            problems += [Problem(name, "this option is required")] if _required(field) else []
            continue
        if isinstance(options[name], float) and not math.isfinite(options[name]):  # TOML has nan and inf
            problems.append(Problem(name, f"expected a number that is one, found {options[name]}"))
            continue
        try:
            values[name] = convert(class_, field, options[name])
        except msgspec.ValidationError as error:
            problems.append(wrong_value(option_type(class_, field), name, options[name], str(error)))

    if problems:
        return None, problems

    try:
        return class_(**values), []
    except Exception as error:  # noqa: BLE001 - a plugin's __post_init__ refuses in many ways
        return None, [refusal(error, fields, file_of(class_))]


def _decode(kind: type, value: object) -> object:
    if kind in {Duration, Size}:
        try:
            # A bare number is refused by `parse` too: the sentence about the unit is the same.
            return kind.parse(str(value))
        except ValueError as error:
            raise ValueError(f"{error}, found {worded(value)}") from None

    if kind is Path and isinstance(value, str):
        return _path(value)

    raise ValueError(f"expected {'a path' if kind is Path else kind.__name__}, found {worded(value)}")


def _path(text: str) -> Path:
    """The path, with the home folder in place of its `~`."""
    found = os.path.expanduser(text)  # noqa: PTH111 - Path.expanduser raises RuntimeError
    if found.startswith("~"):
        raise ValueError(f"expected a home directory that exists, found {worded(text)}")
    return Path(found)


def _required(field: dataclasses.Field[Any]) -> bool:
    return field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING


def _unknown(key: str, fields: Iterable[str]) -> Problem:
    proposal = likely(key, fields)
    allowed = ", ".join(fields) or "none"
    return Problem(
        key, "unknown option" if proposal else f"unknown option; there are: {allowed}", proposal=proposal
    )
