"""How one file lies over another: tables merge, everything else replaces, plugins are switched on and off."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from hostler.model.schema.tree import Node


def merge(old: Node, new: Node) -> Node:
    """Lay `new` over `old`; a key keeps the place in the order where it first appeared."""
    if not isinstance(old.value, dict) or not isinstance(new.value, dict):
        return new

    table = dict(old.value)

    for name, child in new.value.items():
        table[name] = merge(table[name], child) if name in table else child

    return replace(new, value=table)


def with_switches(tree: Node) -> Node:
    """Make every plugin's `true` and `false` a table that is on or off, and so merges as any other."""
    return _each(_switched(tree), "profiles", _switched)


def _switched(tree: Node) -> Node:
    return _each(_each(tree, "servers", _plugins_of), "templates", _plugins_of)


def _plugins_of(server: Node) -> Node:
    return _each(server, "plugins", _switch)


def _switch(plugin: Node) -> Node:
    return replace(plugin, value={}, off=not plugin.value) if isinstance(plugin.value, bool) else plugin


def _each(node: Node, name: str, change: Callable[[Node], Node]) -> Node:
    if not isinstance(node.value, dict) or name not in node.value:
        return node

    table = node.value[name]

    if not isinstance(table.value, dict):
        return node

    changed = replace(table, value={key: change(child) for key, child in table.value.items()})
    return replace(node, value=node.value | {name: changed})
