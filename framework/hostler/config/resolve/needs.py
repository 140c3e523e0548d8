"""What must hold between a server and those that stand in its `needs`."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from typing import TypeAlias

from hostler.config.resolve.server_table import ResolvedServer
from hostler.model.choices import Kind
from hostler.model.dependencies import Condition
from hostler.model.schema.diagnostics import Diagnostics, shown
from hostler.model.schema.tree import Node, quoted

Places: TypeAlias = Mapping[str, Mapping[str, Node]]
"""For each server, where it names each of those that it needs."""


def check_needs(drafts: Mapping[str, ResolvedServer], found: Diagnostics) -> None:
    """Note needs that cannot be met: of nobody, of itself, of a server that never completes, in a circle."""
    places = {name: _places(draft, found) for name, draft in drafts.items()}

    for name, named in places.items():
        for other, node in named.items():
            _check_need(drafts[name], other, node, drafts, found)

    _check_circles(drafts, places, found)


def _places(draft: ResolvedServer, found: Diagnostics) -> dict[str, Node]:
    needs = draft.at("needs")

    if needs is draft.node or found.has_noted(needs):
        return {}

    return needs.value if isinstance(needs.value, dict) else {item.value: item for item in needs.value}


def _check_need(
    draft: ResolvedServer, other: str, node: Node, drafts: Mapping[str, ResolvedServer], found: Diagnostics
) -> None:
    if other == draft.spec.name:
        found.add(node, "a server cannot need itself")
    elif other in drafts:
        _check_completion(draft, drafts[other], node, found)
    else:
        listed = isinstance(draft.at("needs").value, list)
        word = "" if listed and node.raw is not None else other  # never the value of a variable
        what = f"there is no server {shown(node) if listed else quoted(other)}"
        found.unknown(node, word, [name for name in drafts if name != draft.spec.name], what=what)


def _check_completion(draft: ResolvedServer, other: ResolvedServer, node: Node, found: Diagnostics) -> None:
    need = next(need for need in draft.spec.needed if need.server == other.spec.name)

    if need.condition is Condition.COMPLETED and other.spec.kind is not Kind.TASK:
        node = node.value["condition"] if isinstance(node.value, dict) else node
        name = quoted(other.spec.name)
        found.add(node, f'{name} never completes, it is no task (kind = "task"); allowed: "started", "ready"')


def _check_circles(drafts: Mapping[str, ResolvedServer], places: Places, found: Diagnostics) -> None:
    from graphlib import CycleError, TopologicalSorter  # noqa: PLC0415 - only where servers need others

    needs = {
        name: [need.server for need in draft.spec.needed if need.server != name]
        for name, draft in drafts.items()
    }

    while any(needs.values()):
        try:
            TopologicalSorter(needs).prepare()
        except CycleError as error:
            first, second, *_ = circle = error.args[1][::-1]
            _tell(circle, [_place(drafts[one], other, places) for one, other in pairwise(circle)], found)
            needs[first] = [other for other in needs[first] if other != second]
        else:
            return


def _place(draft: ResolvedServer, other: str, places: Places) -> Node:
    """Where a server names another, or refers to it."""
    return places[draft.spec.name].get(other) or draft.implied.get(other) or draft.at("needs")


def _tell(circle: list[str], nodes: list[Node], found: Diagnostics) -> None:
    named = [f"{name}{_where(node)}" for name, node in zip(circle, nodes, strict=False)]
    found.add(nodes[0], f"servers need each other in a circle: {' -> '.join([*named, circle[0]])}")


def _where(node: Node) -> str:
    return "" if node.place.file is None else f" ({node.place.file}:{node.place.line or 1})"
