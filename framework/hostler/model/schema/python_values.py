"""The values of a spec that a program makes: what they may be besides what they are in TOML."""

from __future__ import annotations

import dataclasses
import os
import re
import signal
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from msgspec.structs import replace

from hostler.errors import InvalidConfiguration
from hostler.model.schema import fields
from hostler.model.schema.control_keys import CONTROL_KEYS
from hostler.model.schema.diagnostics import Diagnostics
from hostler.model.schema.external_values import path
from hostler.model.schema.fields import Reader
from hostler.model.schema.server_keys import RESTART_KEYS, SERVER_KEYS, Key, readers
from hostler.model.schema.tree import Node, Place, below, parse_tree, plain, with_children
from hostler.model.spec import PluginSpec, RestartPolicy
from hostler.model.units import Duration

_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def read(made: object, given: Mapping[str, object], key: str) -> dict[str, Any]:
    """The values that the fields of `made` are to have, of those that were given.

    Raises InvalidConfiguration with every mistake that was found.
    """
    found, known, values = Diagnostics(), _READERS[type(made).__name__], {}
    place = Place(None, None, _here())

    for name, value in given.items():
        node = _parsed(value, below(key, name), place, found) if name in known else None
        read_value = None if node is None else known[name](node, found)
        if read_value is not None or (name == "port" and value is False):
            values[name] = read_value

    if found.problems:
        raise InvalidConfiguration(found.problems)

    return values


def server_name(node: Node, found: Diagnostics) -> str | None:
    """The name of a server."""
    if isinstance(node.value, str) and _NAME.fullmatch(node.value):
        return node.value
    likely = re.sub(r"[^A-Za-z0-9_-]+", "-", node.value).strip("-") if isinstance(node.value, str) else ""
    proposal = likely if _NAME.fullmatch(likely) else ""
    found.add(node, "a server's name is 1 to 64 letters, digits, - and _", proposal=proposal)
    return None


def _parsed(value: object, key: str, place: Place, found: Diagnostics) -> Node | None:
    try:
        return parse_tree(value, lambda _: place, key=key)
    except InvalidConfiguration as error:
        found.problems.extend(error.problems)
        return None


def _here() -> Path:
    try:
        return _folder(os.getcwd())  # noqa: PTH109 - every spec asks
    except OSError:  # it has been removed
        return Path()


@lru_cache(maxsize=1)
def _folder(name: str) -> Path:
    return Path(name)


# -- what is not as in TOML ------------------------------------------------------------------------


def _port(node: Node, found: Diagnostics) -> int | None:
    return None if node.value is None else fields.port(node, found)


def _named(node: Node) -> Node:
    """A signal as TOML names it, where it is given as the module `signal` does."""
    return replace(node, value=node.value.name) if isinstance(node.value, signal.Signals) else node


def _signal(node: Node, found: Diagnostics) -> Any:
    return SERVER_KEYS["stop_signal"].read(_named(node), found)


def _exit_codes(node: Node, found: Diagnostics) -> Any:
    return fields.exit_codes(with_children(node, _named), found)


def _restart(node: Node, found: Diagnostics) -> Any:
    is_made = isinstance(node.value, RestartPolicy)
    return node.value if is_made else fields.restart(_with_numbers(RESTART_KEYS), RestartPolicy)(node, found)


def _with_numbers(keys: Mapping[str, Key]) -> dict[str, Reader]:
    """The readers of keys; a number is one of seconds, as in all that Python knows."""
    return {name: _seconds(key.read) if key.type == "duration" else key.read for name, key in keys.items()}


def _seconds(read: Reader) -> Reader:
    def read_number(node: Node, found: Diagnostics) -> Any:
        # True is an int to Python, but no one second.
        is_number = isinstance(node.value, int | float) and not isinstance(node.value, bool)
        return read(replace(node, value=Duration(node.value)) if is_number else node, found)

    return read_number


def _plugins(node: Node, found: Diagnostics) -> tuple[PluginSpec, ...] | None:
    """Specs of plugins, or a table as in TOML; the value of a name may be a ready-made plugin, too."""
    if isinstance(node.value, dict):
        made = [_plugin(name, child, found) for name, child in node.value.items() if child.value is not False]
        return tuple(one for one in made if one is not None)
    if not isinstance(node.value, list):
        found.expected(node, "a list of PluginSpec, or a table of plugins")
        return None
    for item in node.value:
        if not isinstance(item.value, PluginSpec):
            found.expected(item, 'a PluginSpec, such as PluginSpec("regex-port")')
    return tuple(item.value for item in node.value)


def _plugin(name: str, node: Node, found: Diagnostics) -> PluginSpec | None:
    match node.value:
        case PluginSpec():
            return dataclasses.replace(node.value, name=name)
        case True:
            return PluginSpec(name)
        case dict() as options:
            use = fields.word(options["use"], found) if "use" in options else None
            given = {key: plain(child) for key, child in options.items() if key != "use"}
            return PluginSpec(name, given, use)
        case str() | int() | float() | list() | None:
            found.expected(node, "true, false, a table of options or a plugin object")
            return None
        case instance:
            return PluginSpec(name, instance=instance)


_PLUGIN_READERS: Mapping[str, Reader] = MappingProxyType(
    {"name": fields.word, "options": fields.any_table, "use": fields.word, "base": path}
)
_READERS: Mapping[str, Mapping[str, Reader]] = MappingProxyType(
    {
        "ServerSpec": MappingProxyType(
            {
                **_with_numbers(SERVER_KEYS),
                "name": server_name,
                "port": _port,
                "stop_signal": _signal,
                "success_exit_codes": _exit_codes,
                "restart": _restart,
                "plugins": _plugins,
            }
        ),
        "RestartPolicy": _with_numbers(RESTART_KEYS),
        "ControlSpec": readers(CONTROL_KEYS),
        "PluginSpec": _PLUGIN_READERS,
        "ListenerSpec": _PLUGIN_READERS,
        "EnvFile": MappingProxyType({"path": path, "optional": fields.flag}),
    }
)
