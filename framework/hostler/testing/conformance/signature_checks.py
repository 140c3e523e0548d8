"""The class of a plugin: its form, its hooks, its words, and its options."""

from __future__ import annotations

import dataclasses
import inspect
import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect

from hostler.errors import PluginError
from hostler.hooks import API
from hostler.model.units import Duration, Size
from hostler.plugins.options import convert, option_fields, option_type
from hostler.plugins.signatures import FORMS, api_fault, hook_arguments, hook_faults, is_listener
from hostler.testing.conformance.findings import Findings, place_of

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_OWN_TYPES = (Duration, Size, Path)


def check_shape(class_: type, findings: Findings) -> bool:
    """Check the class itself; False when it has no options that could be looked at."""
    place = place_of(class_)

    if not dataclasses.is_dataclass(class_):
        mend = "declare it with @dataclass(eq=False); its fields are its options"
        findings.broken(place, "is no dataclass", mend)
        return False

    if not is_listener(class_):
        _check_sameness(class_, findings)

    if not _says_what_it_is(class_):
        mend = "say in one sentence what it does: `hostler plugins` shows its first line"
        findings.broken(place, "has no docstring", mend)

    return True


def _check_sameness(class_: Any, findings: Findings) -> None:
    place = place_of(class_)

    if class_.__eq__ is not object.__eq__:
        what = "compares by value, so that two of them could not be told apart"
        findings.broken(place, what, "declare it with @dataclass(eq=False)")

    if class_.__dataclass_params__.frozen:
        what = "is frozen: `${server.port}` in an option is filled in by setting it"
        findings.broken(place, what, "leave out frozen=True")


def check_hooks(class_: type, findings: Findings) -> bool:
    """Check the form of every hook; False when they could not be called."""
    place, fault = place_of(class_), api_fault(class_)
    if fault:
        findings.broken(place, fault, f'say for which version it is written: api = "{API}"')
        return False
    faults = list(hook_faults(class_))
    for each in faults:
        findings.broken(place, each, _form(each))
    return not faults


def _form(fault: str) -> str:
    """The form of the hook that a fault is about, or the names of all of them."""
    hook = next((name for name in re.findall(r'"(\w+)"', fault) if name in FORMS), None)
    if hook is None:
        return f"the hooks are {', '.join(FORMS)}"
    form, _, rest = FORMS[hook].partition(" with ")
    arguments = ", ".join(("self", *hook_arguments(hook)))
    ending = f", with {rest}" if rest else ""
    return f"write @hookimpl and {form} {hook}({arguments}){ending}; leave out what it does not need"


def check_options(class_: type, findings: Findings) -> bool:
    """Check every option; False when one cannot be used at all."""
    usable = True

    for field in option_fields(class_).values():
        place = place_of(class_, field.name)
        for what, mend in _words(field):
            findings.broken(place, what, mend)
        for what, mend in _type_and_default(class_, field):
            findings.broken(place, what, mend)
            usable = False

    return usable


def _says_what_it_is(class_: type) -> bool:
    text = (class_.__doc__ or "").strip()
    return bool(text) and not text.startswith(f"{class_.__name__}(")  # which dataclass itself writes there


def _words(field: dataclasses.Field[Any]) -> Iterator[tuple[str, str]]:
    if field.name.startswith("_"):
        yield (
            "is an option, since it is a field, and looks as if it were none",
            "declare run state with field(init=False), or let the option's name begin with a letter",
        )
    elif not _NAME.fullmatch(field.name):
        yield "is not named as TOML keys are", "write it in snake_case"

    if field.name == "use":
        yield "can never be set: `use` names the class of a plugin in TOML", "give it another name"

    if not str(field.metadata.get("meaning", "")).strip():
        yield (
            "has no meaning: nobody is told what the option does",
            f'{field.name}: ... = option(DEFAULT, "what it means"), or `...` for the default',
        )


def _type_and_default(class_: type, field: dataclasses.Field[Any]) -> Iterator[tuple[str, str]]:
    try:
        kind = option_type(class_, field)
    except PluginError as error:
        yield error.message, error.context.hint
        return

    try:
        strange = ", ".join(sorted({one.__name__ for one in _strange_types(kind)}))
    except TypeError as error:  # a union of what cannot be told apart, say
        strange = str(error)

    if strange:
        yield (
            f"has the type {inspect.formatannotation(kind)}, which TOML cannot give: {strange}",
            "use str, int, float, bool, Duration, Size, Path, Enum, Literal, and list and dict of them",
        )
        return

    yield from _default(class_, field)


def _default(class_: type, field: dataclasses.Field[Any]) -> Iterator[tuple[str, str]]:
    if field.default is not dataclasses.MISSING:
        value = field.default
    elif field.default_factory is not dataclasses.MISSING:
        value = field.default_factory()
    else:
        return  # it is required

    try:
        convert(class_, field, as_toml(value))
    except (msgspec.ValidationError, PluginError, ValueError) as error:
        yield (
            f"has the default {value!r}, which would be refused in TOML: {error}",
            "let the type and the default agree",
        )


def as_toml(value: object) -> object:  # noqa: PLR0911 - a table
    """A default as it would be written in TOML."""
    match value:
        case Enum():
            return value.value
        case Duration():
            return f"{value * 1000:f}ms"
        case Size():
            return f"{int(value)}B"
        case Path():
            return str(value)
        case dict():
            return {key: as_toml(item) for key, item in value.items()}
        case list() | tuple() | set() | frozenset():
            return [as_toml(item) for item in value]
        case _ if dataclasses.is_dataclass(value):
            return {field.name: as_toml(getattr(value, field.name)) for field in dataclasses.fields(value)}
        case _:
            return value


def _strange_types(kind: Any) -> Iterator[type]:
    """The classes in a type that no value of TOML can be made into; TypeError for no type of values."""
    todo: list[Any] = [msgspec.inspect.type_info(kind)]
    while todo:
        match todo.pop():
            case msgspec.inspect.CustomType(cls=found):
                if found not in _OWN_TYPES:
                    yield found
            case msgspec.inspect.UnionType(types=types):
                todo += types
            case msgspec.inspect.DictType(key_type=key, value_type=value):
                todo += (key, value)
            case msgspec.inspect.CollectionType(item_type=item):
                todo.append(item)
