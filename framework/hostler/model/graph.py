"""Which servers there are, and which comes after which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from hostler.errors import InvalidConfiguration
from hostler.model.dependencies import Need, with_needs
from hostler.model.interpolation import Reference, references_in
from hostler.model.schema.diagnostics import deduplicated
from hostler.model.schema.server_keys import FILLED_AT_START
from hostler.model.schema.tree import Node
from hostler.model.spec import ServerSpec
from hostler.model.validation import ResolvedServer, dependency_problems


def in_order(specs: Mapping[str, ServerSpec]) -> list[str]:
    """The names so that each comes after those it needs; InvalidConfiguration where that cannot be."""
    # Checked here too: a program may hand over specs that no file was read for.
    if problems := dependency_problems(specs.values()):
        raise InvalidConfiguration(problems)

    order: dict[str, None] = {}

    def visit(name: str) -> None:
        if name not in order:
            for need in specs[name].needed:
                visit(need.server)
            order[name] = None

    for name in specs:
        visit(name)

    return list(order)


def with_needed(specs: Mapping[str, ServerSpec], names: Iterable[str] = ()) -> list[str]:
    """The names of these (by default all with `autostart`), and of what they need."""
    wanted = list(names) or [name for name, spec in specs.items() if spec.autostart]
    for name in wanted:  # it grows on the way
        wanted += [need.server for need in specs[name].needed if need.server not in wanted]
    return wanted


def require_variables(specs: Mapping[str, ServerSpec], names: Iterable[str] = ()) -> None:
    """Return when these (by default all with `autostart`) and what they need have all their variables.

    Raises InvalidConfiguration with every place that refers to one which is not set.
    """
    wanted = set(with_needed(specs, names))
    problems = [problem for name in specs if name in wanted for problem in specs[name].unset]
    if problems:
        raise InvalidConfiguration(deduplicated(problems))


# -- what a server refers to ------------------------------------------------------------------------


def with_implied_needs(spec: ServerSpec) -> ServerSpec:
    """The spec with all servers in `needs` that its command, env and plugin options refer to."""
    return add_needs(spec, *(one.server for _, one in references_of(ResolvedServer.of(spec))))


def references_of(server: ResolvedServer) -> Iterator[tuple[Node, Reference]]:
    """The references to other servers, each with the string that holds it."""
    tables = [child for key, child in server.node.value.items() if key in FILLED_AT_START]
    for node in (node for table in tables for node in table.walk(active=True)):
        if isinstance(node.value, str) and "$" in node.value:
            yield from ((node, reference) for reference in references_in(node.value))


def add_needs(spec: ServerSpec, *others: str) -> ServerSpec:
    """The spec with these servers in `needs` too, ready; what stands there already stays as it is."""
    return replace(spec, needs=with_needs(spec.needs, *map(Need, dict.fromkeys(others)))) if others else spec
