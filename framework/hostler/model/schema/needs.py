"""The value of `needs`: names of servers, and the condition that each has to meet."""

from __future__ import annotations

from msgspec.structs import replace

from hostler.model.dependencies import Condition, Need, Needs, OnRestart
from hostler.model.schema import fields
from hostler.model.schema.diagnostics import Diagnostics, written
from hostler.model.schema.tree import Node, below, quoted
from hostler.model.schema.words import choice


def needs(node: Node, found: Diagnostics) -> Needs | None:
    """A list of servers, or a table with the condition of each."""
    if isinstance(node.value, list) and any(isinstance(item.value, Need) for item in node.value):
        each = [need(item, found) for item in node.value]
        return None if None in each else tuple(one for one in each if one is not None)
    if not isinstance(node.value, dict):
        return fields.texts(node, found) if _is_list_of_names(node, found) else None
    read = [_need(name, child, found) for name, child in node.value.items()]
    return tuple(need for need in read if need is not None)


def _is_list_of_names(node: Node, found: Diagnostics) -> bool:
    """Whether names may stand there; tables, and names with commas, are shown as they should be."""
    if "," in written(node):
        names = [quoted(name) for name in written(node).replace(",", " ").split()]
        found.expected(node, f"a list of strings, such as [{', '.join(names)}]")
        return False
    for item in node.children if isinstance(node.value, list) else ():
        if isinstance(item.value, dict):
            named = [written(item.table[key]) for key in ("name", "server", "service") if key in item.table]
            example = f'{node.key.rpartition(".")[2]} = {{ {next(iter(named), "") or "db"} = "ready" }}'
            found.expected(item, f"the name of a server (with a condition write {example})")
    return not found.has_problem(node)


def need(node: Node, found: Diagnostics) -> str | Need | None:
    """A needed server as a program may give it: its name, or a Need."""
    if not isinstance(node.value, Need):
        return fields.text(node, found)
    given = {"condition": node.value.condition, "on_restart": node.value.on_restart}
    table = {key: replace(node, value=value, key=below(node.key, key)) for key, value in given.items()}
    return _need(node.value.server, replace(node, value=table), found)


def _need(name: str, node: Node, found: Diagnostics) -> str | Need | None:
    """One needed server; a bare name where nothing is asked for but the defaults."""
    condition = choice(Condition)
    keys = {"condition": condition, "on_restart": choice(OnRestart)}

    match node.value:
        case dict():
            values = fields.entries(node, keys, found) or {}
        case str():
            values = {"condition": condition(node, found) or Condition.READY}
        case _:
            example = '{ condition = "ready", on_restart = "keep" }'
            proposal = "ready" if node.value is True else ""
            what = f'"started", "ready", "completed" or a table, such as {example}'
            found.expected(node, what, proposal=proposal)
            return None

    need = Need(name, **values)
    return name if need == Need(name) else need
