"""What can be changed by mistake: a plugin's fields, its class, its modules, the program around it."""

from __future__ import annotations

import dataclasses
import os
import sys
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType

_CONTAINERS = (list, dict, set, bytearray, deque)


def frozen(value: object, depth: int = 6) -> object:
    """A value that is equal later only if nothing in it was changed; what is opaque counts by identity."""
    match value:
        case None | bool() | int() | float() | str() | bytes() | Path():
            return value
        case bytearray():
            return bytes(value)
        case Mapping() if depth:
            return ("mapping", *((frozen(key), frozen(item, depth - 1)) for key, item in value.items()))
        case list() | tuple() | deque() if depth:
            return (type(value).__name__, *(frozen(item, depth - 1) for item in value))
        case set() | frozenset():
            return frozenset(frozen(item, 0) for item in value)
        case _:
            return ("object", type(value).__qualname__, id(value))


def fields_of(plugin: object) -> dict[str, object]:
    """The state of one plugin object."""
    return {name: frozen(value) for name, value in _state(plugin).items()}


def modules_of(class_: type) -> dict[str, ModuleType]:
    """The modules of its package, as far as they are imported by now."""
    package = class_.__module__.partition(".")[0]
    inside = (class_.__module__, f"{class_.__module__}.", f"{package}.")
    return {
        name: module
        for name, module in list(sys.modules.items())
        if (name == inside[0] or name.startswith(inside[1:])) and isinstance(module, ModuleType)
    }


def _is_inner(name: str) -> bool:
    return name.startswith("__") and name.endswith("__")


def shared_by_all(class_: type, modules: Mapping[str, ModuleType]) -> dict[str, object]:
    """What all objects of a class share: attributes of the class, containers in these modules."""
    found: dict[str, object] = {}

    for base in class_.__mro__:
        if base.__module__ != "builtins":
            attributes = {name: frozen(value) for name, value in vars(base).items() if not _is_inner(name)}
            found |= {f"{base.__qualname__}.{name}": value for name, value in attributes.items()}

    for name, module in modules.items():
        for attribute, value in vars(module).items():
            if isinstance(value, _CONTAINERS) and not _is_inner(attribute):
                found[f"{name}.{attribute}"] = frozen(value)

    return found


def context() -> dict[str, object]:
    """What the host program owns."""
    return {"os.environ": frozen(dict(os.environ)), "the working directory": os.getcwd()}  # noqa: PTH109 - as text


def changed(before: Mapping[str, object], after: Mapping[str, object]) -> list[str]:
    """The names whose values differ; one that is new counts too."""
    missing = object()
    return sorted(name for name in {*before, *after} if before.get(name, missing) != after.get(name, missing))


def shared_containers(one: object, other: object) -> list[str]:
    """The fields in which two objects hold one and the same container."""
    pairs = _state(other)
    return [
        name
        for name, value in _state(one).items()
        if isinstance(value, _CONTAINERS) and pairs.get(name) is value
    ]


def _state(plugin: object) -> dict[str, object]:
    """Everything that an object holds, with slots or without."""
    slots = {field.name: getattr(plugin, field.name, None) for field in dataclasses.fields(plugin)}  # type: ignore[arg-type]
    return slots | getattr(plugin, "__dict__", {})
