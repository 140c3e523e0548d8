"""Which servers there are, and which comes after which."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hostler.errors import InvalidConfiguration
from hostler.model import Configuration, ServerSpec
from hostler.needs import spelled_out
from hostler.references import with_implied_needs


def specs_of(
    configuration: Configuration | ServerSpec | Iterable[ServerSpec],
) -> tuple[Mapping[str, ServerSpec], str | None]:
    """The specs by name, with what they refer to among their needs, and a file's namespace.

    Raises InvalidConfiguration for a name used twice.
    """
    if isinstance(configuration, Configuration):
        return configuration.servers, configuration.namespace

    specs = [configuration] if isinstance(configuration, ServerSpec) else list(configuration)
    names = [spec.name for spec in specs]

    if len(set(names)) != len(names):
        raise InvalidConfiguration(f"two servers have one name: {', '.join(names)}")

    return {spec.name: with_implied_needs(spec) for spec in specs}, None


def in_order(specs: Mapping[str, ServerSpec]) -> list[str]:
    """The names so that each comes after those it needs; InvalidConfiguration where that cannot be."""
    order: list[str] = []
    path: list[str] = []

    def visit(name: str) -> None:
        if name in path:
            raise InvalidConfiguration(f"servers need each other: {' -> '.join([*path, name])}")

        if name not in specs:
            raise InvalidConfiguration(f"servers.{path[-1]}.needs: there is no server {name!r}")

        if name not in order:
            path.append(name)

            for need in spelled_out(specs[name].needs):
                visit(need.server)

            path.pop()
            order.append(name)

    for name in specs:
        visit(name)

    return order
