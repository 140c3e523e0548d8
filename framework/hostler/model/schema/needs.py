"""The value of `needs`: names of servers, and the condition that each has to meet."""

from __future__ import annotations

from dataclasses import replace

from hostler.model.dependencies import Condition, Need, Needs, OnRestart
from hostler.model.schema import fields
from hostler.model.schema.diagnostics import Diagnostics
from hostler.model.schema.tree import Node, below


def needs(node: Node, found: Diagnostics) -> Needs | None:
    """A list of servers, or a table with the condition of each."""
    if isinstance(node.value, list) and any(isinstance(item.value, Need) for item in node.value):
        each = [need(item, found) for item in node.value]
        return None if None in each else tuple(one for one in each if one is not None)
    if not isinstance(node.value, dict):
        return fields.texts(node, found)
    read = [_need(name, child, found) for name, child in node.value.items()]
    return tuple(need for need in read if need is not None)


def need(node: Node, found: Diagnostics) -> str | Need | None:
    """A needed server as a program may give it: its name, or a Need."""
    if not isinstance(node.value, Need):
        return fields.text(node, found)
    given = {"condition": node.value.condition, "on_restart": node.value.on_restart}
    table = {key: replace(node, value=value, key=below(node.key, key)) for key, value in given.items()}
    return _need(node.value.server, replace(node, value=table), found)


def _need(name: str, node: Node, found: Diagnostics) -> str | Need | None:
    """One needed server; a bare name where nothing is asked for but the defaults."""
    condition = fields.choice(Condition)
    keys = {"condition": condition, "on_restart": fields.choice(OnRestart)}

    match node.value:
        case dict():
            values = fields.entries(node, keys, found) or {}
        case str():
            values = {"condition": condition(node, found) or Condition.READY}
        case _:
            example = '{ condition = "ready", on_restart = "keep" }'
            found.expected(node, f'"started", "ready", "completed" or a table, such as {example}')
            return None

    need = Need(name, **values)
    return name if need == Need(name) else need
