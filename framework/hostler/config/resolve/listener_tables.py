"""From the table `[listeners]` to specs, each checked by the listener's own class."""

from __future__ import annotations

from dataclasses import replace

from hostler.config.resolve.context import ResolveContext
from hostler.config.resolve.interpolation import Names, fill
from hostler.config.resolve.plugin_tables import is_off, read_plugin
from hostler.model.dataclass import dataclass
from hostler.model.schema.diagnostics import Diagnostics
from hostler.model.schema.tree import Node
from hostler.model.spec import ListenerSpec


@dataclass(frozen=True, slots=True)
class ResolvedListener:
    """A listener as far as it could be read: its tree with `${...}` filled in, and its spec."""

    node: Node
    spec: ListenerSpec


def read_listeners(tree: Node, context: ResolveContext, found: Diagnostics) -> dict[str, ResolvedListener]:
    """The listeners that are switched on, by name; mistakes go to the findings."""
    table = tree.value.get("listeners")
    if table is None:
        return {}
    if not isinstance(table.value, dict):
        found.expected(table, "a table of listeners, [listeners]")
        return {}
    return {
        name: _read(name, node, context, found)
        for name, node in table.value.items()
        if not is_off(ListenerSpec(name, {}), node, found)
    }


def _read(name: str, node: Node, context: ResolveContext, found: Diagnostics) -> ResolvedListener:
    known, before = Names(context.environ, may_lack=True), len(found.unset)
    # As the options of all plugins they are templates, in which what was filled in is escaped.
    node = fill(node, known, found, keep=lambda _: False)
    spec = read_plugin(ListenerSpec, name, node, context, found)
    unset = tuple(found.unset[before:])
    return ResolvedListener(node, replace(spec, secrets=frozenset(known.secrets), unset=unset))
