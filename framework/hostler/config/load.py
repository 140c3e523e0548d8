"""From a file, or a mapping, to a checked Configuration."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from hostler.config.dump import document
from hostler.config.resolve.cross_checks import check, with_implied_needs
from hostler.config.resolve.instantiate import TemplateInstantiator, check_template
from hostler.config.resolve.server_table import ResolveContext, read_server, where_it_belongs
from hostler.config.resolve.templates import Template, from_template, read_templates
from hostler.config.source.compose import Composer
from hostler.config.source.layers import Layers
from hostler.config.source.overrides import Settings, settings_of
from hostler.config.source.read import Source
from hostler.errors import InvalidConfiguration, Problem
from hostler.model.graph import refuse_unset
from hostler.model.schema.diagnostics import Diagnostics, without_echoes
from hostler.model.schema.server_keys import TOP
from hostler.model.schema.tree import Node, Place, parse_tree
from hostler.model.spec import Configuration
from hostler.model.validation import ResolvedServer


def load(
    path: str | os.PathLike[str] | Mapping[str, object],
    *,
    profiles: Iterable[str] = (),
    settings: Settings = (),
    environ: Mapping[str, str] | None = None,
) -> Configuration:
    """Read a TOML file and what it extends, and check all of it; nothing is started.

    The path "-" is standard input. A mapping is read as by `from_dict`, seen from the current folder.

    `profiles` are laid over the files in this order, then `settings`, values by dotted key such as
    "servers.web.port"; relative paths in them are seen from the current folder. `environ` is what
    `${VAR}` is looked up in, os.environ by default. Raises InvalidConfiguration with every mistake
    that was found. A variable that is not set is one where a server with `autostart` refers to it, or
    one that it needs; any other server fails when it is started.
    """
    if isinstance(path, Mapping):
        return from_dict(path, base=Path.cwd(), profiles=profiles, settings=settings, environ=environ)
    configuration, _ = load_resolved(path, profiles=profiles, settings=settings, environ=environ)
    refuse_unset(configuration.servers)
    return configuration


def load_resolved(
    path: str | os.PathLike[str],
    *,
    profiles: Iterable[str] = (),
    settings: Settings = (),
    environ: Mapping[str, str] | None = None,
    mistakes: list[Problem] | None = None,
) -> tuple[Configuration, Mapping[str, ResolvedServer]]:
    """As `load`, with the servers as they were read, in which every value knows where it stands.

    Variables that are not set are no mistake here: specs have them as `unset`. Where `mistakes` is given,
    it gets what was found, and the servers without a mistake are returned.
    """
    source = Source(Path(path))
    environ = os.environ if environ is None else environ
    found = Diagnostics(where_it_belongs)
    layers = Layers(_names(profiles), settings_of(settings))

    composer = Composer(environ, found)
    try:
        tree = composer.file(source.named)
    except (OSError, ValueError) as error:
        raise _unreadable(source.named, error) from error

    context = ResolveContext(environ, source.folder)
    configuration, resolved = _configuration(tree, layers, context, found, mistakes)
    namespace, files = source.namespace, tuple(composer.files)
    return replace(configuration, namespace=namespace, path=source.file, files=files), resolved


def from_dict(
    mapping: Mapping[str, object],
    *,
    base: Path,
    profiles: Iterable[str] = (),
    settings: Settings = (),
    environ: Mapping[str, str] | None = None,
) -> Configuration:
    """Check a mapping as if it stood in a TOML file in the folder `base`; the rest as in `load`.

    Raises InvalidConfiguration with every mistake that was found.
    """
    environ = os.environ if environ is None else environ
    found = Diagnostics(where_it_belongs)
    place = Place(None, None, Path(base).absolute())
    layers = Layers(_names(profiles), settings_of(settings))

    composer = Composer(environ, found)
    tree = composer.extended(parse_tree(mapping, lambda _: place))
    configuration, _ = _configuration(tree, layers, ResolveContext(environ, place.base), found)
    refuse_unset(configuration.servers)
    return replace(configuration, files=tuple(composer.files))


def _names(profiles: Iterable[str]) -> tuple[str, ...]:
    return (profiles,) if isinstance(profiles, str) else tuple(profiles)


def _configuration(
    tree: Node | None,
    layers: Layers,
    context: ResolveContext,
    found: Diagnostics,
    mistakes: list[Problem] | None = None,
) -> tuple[Configuration, Mapping[str, ResolvedServer]]:
    """Read and check everything; raises InvalidConfiguration unless all is well, or `mistakes` is given."""
    if tree is None or found.problems:
        raise InvalidConfiguration(found.problems)

    for name, node in tree.value.items():
        if name not in TOP:
            found.unknown(node, name, TOP)

    tree = layers.over(tree, found)
    templates = read_templates(tree, found)
    for template in templates.values():
        check_template(template, context, found)

    resolved = _resolve(tree, templates, context, found)

    if found.problems:
        resolved = _sound(resolved, found, mistakes)

    configuration = Configuration(
        servers={name: server.spec for name, server in resolved.items()},
        document=document(resolved.values()),
        templates={name: TemplateInstantiator(template, context) for name, template in templates.items()},
    )
    return configuration, resolved


def _sound(
    resolved: Mapping[str, ResolvedServer], found: Diagnostics, mistakes: list[Problem] | None
) -> dict[str, ResolvedServer]:
    """The servers without a mistake; all mistakes go to `mistakes`, or are raised where that is None."""
    problems = sorted(without_echoes([*found.problems, *found.unset]), key=_position)
    if mistakes is None:
        raise InvalidConfiguration(problems)
    mistakes += problems
    return {name: server for name, server in resolved.items() if not _is_wrong(server, found.problems)}


def _is_wrong(server: ResolvedServer, problems: Iterable[Problem]) -> bool:
    """Whether one of these stands in the table of a server, or in what was laid over it."""
    own = server.node.key
    keys = {child.key for child in server.node.walk()}
    return any(one.key in keys or one.key.startswith(f"{own}.") for one in problems)


def _resolve(
    tree: Node, templates: Mapping[str, Template], context: ResolveContext, found: Diagnostics
) -> dict[str, ResolvedServer]:
    """Every server that can be read; what they are to each other is checked when that is all of them."""
    nodes = {name: from_template(node, templates, found) for name, node in _servers(tree, templates, found)}
    resolved = {
        name: server
        for name, node in nodes.items()
        if node is not None and (server := read_server(name, node, context, found))
    }

    if None not in nodes.values():
        resolved = with_implied_needs(resolved, found)
        check(resolved, found)

    return resolved


def _servers(tree: Node, templates: Mapping[str, Template], found: Diagnostics) -> list[tuple[str, Node]]:
    servers = tree.value.get("servers")
    if servers is None or servers.value == {}:
        if templates:
            return []  # they come while it runs
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
