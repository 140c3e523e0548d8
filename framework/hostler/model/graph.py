"""Which servers there are, and which comes after which."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from hostler.errors import InvalidConfiguration
from hostler.model.dependencies import Need, with_needs
from hostler.model.interpolation import references_in
from hostler.model.schema.diagnostics import without_echoes
from hostler.model.spec import ServerSpec
from hostler.model.validation import dependency_problems


def in_order(specs: Mapping[str, ServerSpec]) -> list[str]:
    """The names so that each comes after those it needs; InvalidConfiguration where that cannot be."""
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


def started(specs: Mapping[str, ServerSpec], names: Iterable[str] = ()) -> list[str]:
    """The names of these (by default all with `autostart`), and of what they need."""
    wanted = list(names) or [name for name, spec in specs.items() if spec.autostart]
    for name in wanted:  # it grows on the way
        wanted += [need.server for need in specs[name].needed if need.server not in wanted]
    return wanted


def refuse_unset(specs: Mapping[str, ServerSpec], names: Iterable[str] = ()) -> None:
    """Return when these (by default all with `autostart`) and what they need have all their variables.

    Raises InvalidConfiguration with every place that refers to one which is not set.
    """
    wanted = started(specs, names)
    problems = [problem for name in specs if name in wanted for problem in specs[name].unset]
    if problems:
        raise InvalidConfiguration(without_echoes(problems))


# -- what a server refers to ------------------------------------------------------------------------


def with_implied_needs(spec: ServerSpec) -> ServerSpec:
    """The spec with all servers in `needs` that its command, env and plugin options refer to."""
    referred = dict.fromkeys(one.server for text in _texts(spec) for one in references_in(text))
    return needing(spec, *referred)


def needing(spec: ServerSpec, *others: str) -> ServerSpec:
    """The spec with these servers in `needs` too, ready; what stands there already stays as it is."""
    return replace(spec, needs=with_needs(spec.needs, *map(Need, others))) if others else spec


def _texts(spec: ServerSpec) -> Iterator[str]:
    """Every string that is filled in at the start."""
    yield from spec.command
    yield from _strings(spec.env)
    for plugin in spec.plugins:
        yield from _strings(plugin.options)


def _strings(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for item in value.values():
                yield from _strings(item)
        case list() | tuple():
            for item in value:
                yield from _strings(item)
