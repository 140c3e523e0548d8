"""Where each value of a configuration comes from, in words."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterator
from datetime import date, time

from msgspec import Struct

from hostler.config.dump import written_fields
from hostler.config.implied_log import INDEX, LOG, gets_log, is_indexed
from hostler.config.resolve.control_table import ResolvedControl
from hostler.config.resolve.listener_tables import ResolvedListener
from hostler.model.schema.masked import masked
from hostler.model.schema.tree import Node, Place, below, unfilled
from hostler.model.spec import ControlSpec, PluginSpec, RestartPolicy, ServerSpec
from hostler.model.validation import ResolvedServer

DEFAULT = "default"
_PLUGIN = re.compile(r".*\.plugins\.|listeners\.")


class Origin(Struct, frozen=True):
    """One value: its dotted `key`, the `value` as TOML (no secret is shown), and the `place` of origin."""

    key: str
    value: str
    place: str


def origins_of(server: ResolvedServer) -> Iterator[Origin]:
    """Every value of a server: what was configured, in its order, then what it implies, then defaults."""
    yield from _configured(server.node, server.spec.name)
    for name, node in server.implied.items():
        # What stands in `needs` too has its own line already.
        if not _is_listed(server, name):
            because = f"implied: {node.key} refers to it, {place_of(node.place)}"
            yield Origin(f"{server.node.key}.needs", as_toml([name]), because)
    if gets_log(server):
        key = below(below(server.node.key, "plugins"), LOG)
        yield Origin(below(key, INDEX), "true", "hostler up: nothing else shows its output")
    yield from _defaults(server)


def origins_of_listener(listener: ResolvedListener) -> Iterator[Origin]:
    """Every option of a listener: those that were configured, then defaults."""
    yield from _configured(listener.node, listener.spec.name)
    yield from _of_plugin(listener.spec, listener.node)


def origins_of_control(control: ResolvedControl) -> Iterator[Origin]:
    """Every value of `[control]`: those that were configured, then defaults."""
    yield from _configured(control.node, "control")
    yield from _of(control.spec, control.node.key, control.node.value)


def place_of(place: Place) -> str:
    """A place as it stands in a comment: "base.toml:12", "profile ci (base.toml:30)", "--set ..."."""
    if place.file is None:
        return "given from Python"
    where = str(place.file) if place.line is None else f"{place.file}:{place.line}"
    return f"{place.within} ({where})" if place.within else where


def _is_listed(server: ResolvedServer, name: str) -> bool:
    needs = server.at("needs")
    if needs is server.node:
        return False
    return name in (needs.value if isinstance(needs.value, dict) else [item.value for item in needs.value])


def _configured(node: Node, name: str) -> Iterator[Origin]:
    """The values at and below a node, which stands under this name."""
    table = node.value
    if node.off or not isinstance(table, dict) or not table or set(table) == {"secret"}:
        yield Origin(node.key, _text(node, name), place_of(node.place))
        return
    for key, child in table.items():
        yield from _configured(child, key)


def _text(node: Node, name: str) -> str:
    if node.value == {} and _PLUGIN.match(node.key) and not node.off:
        return "true"
    value = unfilled(node)
    return as_toml(masked(value, name))


def as_toml(value: object) -> str:
    """A value as it stands in TOML, on one line."""
    match value:
        case dict():
            inside = ", ".join(f"{below('', str(name))} = {as_toml(item)}" for name, item in value.items())
            return f"{{ {inside} }}" if inside else "{}"
        case list() | tuple():
            return f"[{', '.join(as_toml(item) for item in value)}]"
        case date() | time():
            return value.isoformat()
        case _:
            return json.dumps(value, ensure_ascii=False)


# -- defaults --------------------------------------------------------------------------------------


def _defaults(server: ResolvedServer) -> Iterator[Origin]:
    key, given = server.node.key, server.node.value
    restart = given["restart"].value if "restart" in given else {}
    yield from _of(server.spec, key, given)
    yield from _of(server.spec.restart, below(key, "restart"), restart)
    for plugin in server.spec.plugins:
        yield from _of_plugin(plugin, server.at("plugins", plugin.name))


def _of(spec: ServerSpec | RestartPolicy | ControlSpec, key: str, given: Container[str]) -> Iterator[Origin]:
    for name, value in written_fields(spec):
        if name not in given:
            yield Origin(below(key, name), as_toml(value), DEFAULT)


def _of_plugin(plugin: PluginSpec, node: Node) -> Iterator[Origin]:
    from hostler.plugins.describe import default_options  # noqa: PLC0415 - only plugins have options

    for name, value in default_options(plugin).items():
        if name == INDEX and is_indexed(plugin):
            yield Origin(below(node.key, name), "true", "hostler up and hostler run: their clients read it")
        elif name not in node.value:
            yield Origin(below(node.key, name), value, f"{DEFAULT} of the plugin")
