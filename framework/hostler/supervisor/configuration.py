"""What a supervisor may be given, and the configuration that it means."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TypeAlias

from hostler.errors import InvalidConfiguration, Problem
from hostler.model.choices import InputMode
from hostler.model.graph import with_implied_needs
from hostler.model.spec import Configuration, ServerSpec

ConfigurationSource: TypeAlias = (
    Configuration | ServerSpec | Iterable[ServerSpec] | Mapping[str, object] | str | os.PathLike[str]
)
"""A configuration, specs, the path of a file, or a mapping as in such a file."""

_LOCAL = ("127.0.0.1", "::1", "localhost")
_FORMS = "a Configuration, a ServerSpec, several of them, the path of a file or a mapping as in a file"


def configuration_of(given: ConfigurationSource, environ: Mapping[str, str] | None = None) -> Configuration:
    """The configuration that is meant, with what specs refer to among their needs.

    A file and a mapping are read with `${VAR}` from `environ`, os.environ by default. Raises
    InvalidConfiguration with every mistake that was found.
    """
    match given:
        case Configuration():
            return given
        case ServerSpec():
            return _of_specs([given])
        case Mapping() if given and all(isinstance(one, ServerSpec) for one in given.values()):
            return _of_specs(given.values())
        case str() | os.PathLike() | Mapping():
            from hostler.config.load import load  # noqa: PLC0415 - a program that makes its specs needs none of it

            return load(given, environ=environ)
        case Iterable():
            return _of_specs(given)
        case _:
            raise InvalidConfiguration(f"expected {_FORMS}, found a {type(given).__name__}")


def _of_specs(given: Iterable[object]) -> Configuration:
    specs: dict[str, ServerSpec] = {}

    for spec in given:
        if not isinstance(spec, ServerSpec):
            raise InvalidConfiguration(f"expected a ServerSpec, found a {type(spec).__name__}")
        if spec.name in specs:
            raise InvalidConfiguration(f"two servers have one name: {spec.name}")
        specs[spec.name] = with_implied_needs(spec)

    if problems := [*_of_plugins(specs.values()), *_between_values(specs.values())]:
        raise InvalidConfiguration(problems)

    return Configuration(specs)


def _of_plugins(specs: Iterable[ServerSpec]) -> Iterator[Problem]:
    """Wrong names and options of plugins, in the words of TOML; a class that is broken fails the start."""
    for spec in specs:
        for plugin in spec.plugins:
            if plugin.instance is None and (plugin.options or plugin.use is None):
                from hostler.plugins.options import option_problems  # noqa: PLC0415 - for servers with plugins

                key = f"servers.{spec.name}.plugins.{plugin.name}"
                problems = [one for one in option_problems(plugin) if one.key or plugin.use is None]
                yield from (replace(one, key=f"{key}.{one.key}" if one.key else key) for one in problems)


def _between_values(specs: Collection[ServerSpec]) -> list[Problem]:
    """What does not fit together, in the words of TOML, which only who needs them imports."""
    ports = [spec.port for spec in specs if spec.port]
    inherit = [spec for spec in specs if spec.stdin is InputMode.INHERIT]
    # The full check costs an import, which a program whose specs are right need not pay.
    if all(map(_fits, specs)) and len(ports) == len(set(ports)) and len(inherit) <= 1:
        return []
    from hostler.config.resolve.cross_checks import problems_of  # noqa: PLC0415

    return problems_of(specs)


def _fits(spec: ServerSpec) -> bool:
    """Whether there is nothing in a server alone that could not fit together."""
    restart = spec.restart
    local = spec.host in _LOCAL or spec.expose
    return bool(spec.command or spec.plugins) and local and restart.initial_delay <= restart.max_delay
