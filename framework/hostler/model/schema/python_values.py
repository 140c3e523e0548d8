"""The values of a spec that a program makes: what they may be besides what they are in TOML."""

from __future__ import annotations

import re
import signal
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hostler.errors import InvalidConfiguration
from hostler.model.schema.diagnostics import Diagnostics
from hostler.model.schema.external_values import path
from hostler.model.schema.fields import Reader, any_table, flag, port, word
from hostler.model.schema.server_keys import RESTART_KEYS, SERVER_KEYS, readers
from hostler.model.schema.tree import Node, Place, below, parse_tree, plain
from hostler.model.spec import PluginSpec, RestartPolicy
from hostler.model.units import Duration

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_WIDEST_INTEGER = 2**63


def read(made: object, given: Mapping[str, object], key: str) -> dict[str, Any]:
    """The values that the fields of `made` are to have, of those that were given.

    Raises InvalidConfiguration with every mistake that was found.
    """
    found, readers, values = Diagnostics(), _READERS[type(made).__name__], {}
    durations, place = _durations(made), Place(None, None, _here())

    for name, value in given.items():
        if name not in readers:
            continue
        node = _parsed(_seconds(value) if name in durations else value, below(key, name), place, found)
        read_value = None if node is None else readers[name](node, found)
        if read_value is not None or (name == "port" and value is False):
            values[name] = read_value

    if found.problems:
        raise InvalidConfiguration(found.problems)

    return values


def server_name(node: Node, found: Diagnostics) -> str | None:
    """The name of a server."""
    if isinstance(node.value, str) and _NAME.fullmatch(node.value):
        return node.value
    found.add(node, "a server's name is 1 to 64 letters, digits, - and _")
    return None


def _parsed(value: object, key: str, place: Place, found: Diagnostics) -> Node | None:
    try:
        return parse_tree(value, lambda _: place, key=key)
    except InvalidConfiguration as error:
        found.problems.extend(error.problems)
        return None


def _here() -> Path:
    try:
        return Path.cwd()
    except OSError:  # it has been removed
        return Path()


def _durations(made: object) -> set[str]:
    known: Mapping[str, Any] = vars(type(made))["__dataclass_fields__"]
    return {name for name, one in known.items() if one.type == "float"}


def _seconds(value: object) -> object:
    """A number is one of seconds, as in all that Python knows."""
    match value:
        case bool():
            return value
        case int() if abs(value) >= _WIDEST_INTEGER:
            return value
        case int() | float():
            return Duration(value)
        case _:
            return value


# -- what is not as in TOML ------------------------------------------------------------------------


def _port(node: Node, found: Diagnostics) -> int | None:
    return None if node.value is None else port(node, found)


def _signal(node: Node, found: Diagnostics) -> Any:
    """A signal as TOML names it, or as the module `signal` does."""
    named = node.value.name if isinstance(node.value, signal.Signals) else node.value
    return SERVER_KEYS["stop_signal"].read(replace(node, value=named), found)


def _exit_codes(node: Node, found: Diagnostics) -> Any:
    """As in TOML; signals also as the module `signal` has them."""
    if isinstance(node.value, list):
        named = [
            replace(item, value=item.value.name) if isinstance(item.value, signal.Signals) else item
            for item in node.value
        ]
        node = replace(node, value=named)
    return SERVER_KEYS["success_exit_codes"].read(node, found)


def _restart(node: Node, found: Diagnostics) -> Any:
    if isinstance(node.value, RestartPolicy):
        return node.value

    if isinstance(node.value, dict):
        durations = {name for name, one in RestartPolicy.__dataclass_fields__.items() if one.type == "float"}
        table_ = {
            name: replace(child, value=_seconds(child.value)) if name in durations else child
            for name, child in node.value.items()
        }
        node = replace(node, value=table_)

    return SERVER_KEYS["restart"].read(node, found)


def _plugins(node: Node, found: Diagnostics) -> tuple[PluginSpec, ...] | None:
    """Specs of plugins, or a table as in TOML; the value of a name may be a ready-made plugin, too."""
    match node.value:
        case list() as items if all(isinstance(item.value, PluginSpec) for item in items):
            return tuple(item.value for item in items)
        case dict() as table_:
            made = [_plugin(name, child, found) for name, child in table_.items() if child.value is not False]
            return tuple(one for one in made if one is not None)
        case list() as items:
            wrong = next(item for item in items if not isinstance(item.value, PluginSpec))
            found.expected(wrong, 'a PluginSpec, such as PluginSpec("regex-port")')
        case _:
            found.expected(node, "a list of PluginSpec, or a table of plugins")

    return None


def _plugin(name: str, node: Node, found: Diagnostics) -> PluginSpec | None:
    match node.value:
        case PluginSpec():
            return replace(node.value, name=name)
        case True:
            return PluginSpec(name)
        case dict() as options:
            use = word(options["use"], found) if "use" in options else None
            given = {key: plain(child) for key, child in options.items() if key != "use"}
            return PluginSpec(name, given, use)
        case str() | int() | float() | list() | None:
            found.expected(node, "true, false, a table of options or a plugin object")
            return None
        case instance:
            return PluginSpec(name, instance=instance)


_READERS: Mapping[str, Mapping[str, Reader]] = MappingProxyType(
    {
        "ServerSpec": MappingProxyType(
            {
                **readers(SERVER_KEYS),
                "name": server_name,
                "port": _port,
                "stop_signal": _signal,
                "success_exit_codes": _exit_codes,
                "restart": _restart,
                "plugins": _plugins,
            }
        ),
        "RestartPolicy": readers(RESTART_KEYS),
        "PluginSpec": MappingProxyType({"name": word, "options": any_table, "use": word, "base": path({})}),
        "EnvFile": MappingProxyType({"path": path({}), "optional": flag}),
    }
)
