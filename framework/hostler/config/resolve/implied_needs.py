"""The servers that others refer to with `${servers.NAME.port}`, and so need."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace

from hostler.config.resolve.server_table import ResolvedServer
from hostler.model.references import Reference, needing, references_in
from hostler.model.schema.diagnostics import Diagnostics
from hostler.model.schema.server_keys import TEMPLATES
from hostler.model.schema.tree import Node, quoted


def with_implied_needs(drafts: Mapping[str, ResolvedServer], found: Diagnostics) -> dict[str, ResolvedServer]:
    """The same servers, each with all that it refers to among its needs; what cannot be is noted."""
    return {name: _with_needs(draft, drafts, found) for name, draft in drafts.items()}


def _with_needs(
    draft: ResolvedServer, drafts: Mapping[str, ResolvedServer], found: Diagnostics
) -> ResolvedServer:
    implied: dict[str, Node] = {}

    for node, reference in _references(draft.node):
        if _may_be(node, reference, draft, drafts, found):
            implied.setdefault(reference.server, node)

    return replace(draft, spec=needing(draft.spec, *implied), implied=implied)


def _references(server: Node) -> Iterator[tuple[Node, Reference]]:
    """The references to other servers, each with the string that holds it."""
    for key, child in server.value.items():
        for node in _active(child) if key in TEMPLATES else ():
            if node.raw is not None and isinstance(node.value, str):
                yield from ((node, reference) for reference in references_in(node.value))


def _active(node: Node) -> Iterator[Node]:
    """A value and all below it, without plugins that are switched off."""
    if not node.off:
        yield node

        for child in node.children:
            yield from _active(child)


def _may_be(
    node: Node,
    reference: Reference,
    draft: ResolvedServer,
    drafts: Mapping[str, ResolvedServer],
    found: Diagnostics,
) -> bool:
    name = reference.server
    written = f"${{servers.{name}.{reference.part}}}"

    if name == draft.spec.name:
        found.add(node, f"{written} names the server itself; write ${{server.{reference.part}}}")
    elif name not in drafts:
        others = [other for other in drafts if other != draft.spec.name]
        found.unknown(node, name, others, what=f"{written}: there is no server {quoted(name)}")
    elif drafts[name].spec.port is None:
        found.add(node, f"{written} means nothing: {name} has no port (port = false)")
    else:
        return True

    return False
