"""From a file, or a mapping, to a checked Configuration."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from hostler.config.compose import Composer
from hostler.config.document import document
from hostler.config.findings import Findings
from hostler.config.implied import with_implied_needs
from hostler.config.relations import check
from hostler.config.schema import TOP
from hostler.config.servers import Draft, Surroundings, read_server
from hostler.config.tree import Node, Place, Unusable, grow
from hostler.errors import InvalidConfiguration, Problem
from hostler.model import Configuration


def load(path: str | os.PathLike[str], *, environ: Mapping[str, str] | None = None) -> Configuration:
    """Read a TOML file and what it extends, and check all of it; nothing is started.

    `environ` is what `${VAR}` is looked up in, os.environ by default. Raises InvalidConfiguration
    with every mistake that was found.
    """
    file = Path(path)
    environ = os.environ if environ is None else environ
    found = Findings()

    try:
        tree = Composer(environ, found).file(file)
    except (OSError, ValueError) as error:
        raise _unreadable(file, error) from error

    drafts = _drafts(tree, Surroundings(environ, file.absolute().parent), found)
    return Configuration(
        servers={name: draft.spec for name, draft in drafts.items()},
        namespace=os.path.realpath(file),
        path=file.absolute(),
        document=document(drafts.values()),
    )


def from_dict(
    mapping: Mapping[str, object], *, base: Path, environ: Mapping[str, str] | None = None
) -> Configuration:
    """Check a mapping as if it stood in a TOML file in the folder `base`.

    Raises InvalidConfiguration with every mistake that was found.
    """
    environ = os.environ if environ is None else environ
    found = Findings()
    place = Place(None, None, Path(base).absolute())

    try:
        tree = grow(mapping, lambda _: place)
    except Unusable as error:
        raise InvalidConfiguration([Problem(error.node.key, str(error))]) from None

    tree = Composer(environ, found).extended(tree)
    drafts = _drafts(tree, Surroundings(environ, place.base), found)
    return Configuration(
        servers={name: draft.spec for name, draft in drafts.items()}, document=document(drafts.values())
    )


def _drafts(tree: Node | None, around: Surroundings, found: Findings) -> dict[str, Draft]:
    """Read and check every server; raises InvalidConfiguration unless all is well."""
    if tree is None or found.problems:
        raise InvalidConfiguration(found.problems)

    for name, node in tree.value.items():
        if name not in TOP:
            found.unknown(node, name, TOP)

    drafts = {
        name: draft
        for name, node in _servers(tree, found)
        if (draft := read_server(name, node, around, found))
    }
    drafts = with_implied_needs(drafts, found)
    check(drafts, found)

    if found.problems:
        raise InvalidConfiguration(sorted(found.problems, key=_position))

    return drafts


def _servers(tree: Node, found: Findings) -> list[tuple[str, Node]]:
    servers = tree.value.get("servers")

    if servers is None or servers.value == {}:
        found.add(tree, "there are no servers; write a table [servers.NAME]", key="servers")
    elif not isinstance(servers.value, dict):
        found.expected(servers, "a table of servers, [servers.NAME]")
    else:
        return list(servers.value.items())

    return []


def _position(problem: Problem) -> tuple[str, int]:
    return (str(problem.file or ""), problem.line or 0)


def _unreadable(file: Path, error: Exception) -> InvalidConfiguration:
    reason = error.strerror if isinstance(error, OSError) else str(error)
    missing = isinstance(error, FileNotFoundError)
    return InvalidConfiguration(
        [Problem("", "there is no such file" if missing else f"cannot be read: {reason}", file)]
    )
