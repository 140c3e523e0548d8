"""What a supervisor may be given, and the configuration that it means."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import TypeAlias

from hostler.errors import InvalidConfiguration
from hostler.model import Configuration, ServerSpec
from hostler.references import with_implied_needs

Given: TypeAlias = (
    Configuration | ServerSpec | Iterable[ServerSpec] | Mapping[str, object] | str | os.PathLike[str]
)
"""A configuration, specs, the path of a file, or a mapping as in such a file."""

_FORMS = "a Configuration, a ServerSpec, several of them, the path of a file or a mapping as in a file"


def configuration_of(given: Given, environ: Mapping[str, str] | None = None) -> Configuration:
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
            from hostler.config import load  # noqa: PLC0415 - a program that makes its specs needs none of it

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

    return Configuration(specs)
