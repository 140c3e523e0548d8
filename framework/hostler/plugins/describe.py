"""Describes a plugin and its options, for `hostler plugins`."""

from __future__ import annotations

import dataclasses
import inspect
import json
import re
from typing import Any, NamedTuple

from hostler.model.spec import PluginSpec
from hostler.model.units import Duration, Size
from hostler.plugins.discovery import entry_point
from hostler.plugins.options import option_fields, option_type, plugin_class
from hostler.plugins.signatures import FORMS, marked_hooks

_QUALIFIER = re.compile(r"\b(?:[a-z_]\w*\.)+")
_OPTIONAL = re.compile(r"(?:typing\.)?Optional\[(.*)\]")
_SECONDS = (("d", 86400), ("h", 3600), ("m", 60), ("s", 1))
_BYTES = ((" GiB", 2**30), (" MiB", 2**20), (" KiB", 2**10), (" B", 1))


class OptionDescription(NamedTuple):
    """One option: its name, its type and default as text ("" means required), its meaning in one sentence."""

    name: str
    type: str
    default: str
    meaning: str


class PluginDescription(NamedTuple):
    """A plugin as its class shows it, without building one; `version` is that of its package.

    A listener has no hooks.
    """

    name: str
    version: str
    summary: str
    hooks: tuple[str, ...]
    options: tuple[OptionDescription, ...]


def describe(spec: PluginSpec) -> PluginDescription:
    """Import a plugin or listener and describe it; raises PluginError as `find_class` does."""
    version = entry_point(spec).version if spec.use is None else ""
    class_ = plugin_class(spec)
    marked = {each.hook for each in marked_hooks(class_)}
    options = tuple(
        OptionDescription(
            field.name, _type_text(class_, field), default_text(field), str(field.metadata.get("meaning", ""))
        )
        for field in option_fields(class_).values()
    )
    hooks = tuple(hook for hook in FORMS if hook in marked)
    return PluginDescription(spec.name, version, _summary(class_), hooks, options)


def default_options(spec: PluginSpec) -> dict[str, str]:
    """The default of each option that has one, as TOML; raises PluginError as `plugin_class` does."""
    found = {name: default_text(field) for name, field in option_fields(plugin_class(spec)).items()}
    return {name: text for name, text in found.items() if text not in {"", "none"}}


def needs_options(class_: type) -> bool:
    """Whether a plugin cannot be built with its defaults alone, as `true` would do it."""
    try:
        class_()
    except Exception:  # noqa: BLE001 - whatever a plugin says against its own defaults
        return True
    return False


def _summary(class_: type) -> str:
    text = (inspect.getdoc(class_) or "").strip()
    # Without a docstring, a dataclass writes its signature there.
    return "" if text.startswith(f"{class_.__name__}(") else text.partition("\n")[0]


def _type_text(class_: type, field: dataclasses.Field[Any]) -> str:
    """The type with the names that stand for others replaced by what they mean."""
    text = inspect.formatannotation(option_type(class_, field))
    optional = _OPTIONAL.fullmatch(text)
    return _QUALIFIER.sub("", f"{optional[1]} | None" if optional else text)


def default_text(field: dataclasses.Field[Any]) -> str:
    """The default of an option as TOML; "" for one that is required, "none" for one that has none."""
    if field.default is not dataclasses.MISSING:
        return _as_toml(field.default)
    return "" if field.default_factory is dataclasses.MISSING else _as_toml(field.default_factory())


def _as_toml(value: object) -> str:
    match value:
        case None:
            return "none"
        case Duration():
            return f'"{_in_units(value, _SECONDS)}"' if value >= 1 or not value else f'"{value * 1000:g}ms"'
        case Size():
            return f'"{_in_units(value, _BYTES)}"'
        case list() | tuple():
            return "[" + ", ".join(_as_toml(item) for item in value) + "]"
        case dict() if value:
            return "{ " + ", ".join(f"{key} = {_as_toml(item)}" for key, item in value.items()) + " }"
        case _:
            return json.dumps(value, ensure_ascii=False, default=str)


def _in_units(value: float, units: tuple[tuple[str, int], ...]) -> str:
    unit, worth = next(
        ((unit, worth) for unit, worth in units if value >= worth and value % worth == 0), units[-1]
    )
    return f"{value / worth:g}{unit}"
