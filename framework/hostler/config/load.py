"""From a file, or a mapping, to a checked Configuration."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

from hostler.config.resolve.context import ResolveContext
from hostler.config.resolve.control_table import ResolvedControl, read_control
from hostler.config.resolve.cross_checks import check, with_implied_needs
from hostler.config.resolve.defaults import Defaults, read_defaults
from hostler.config.resolve.instantiate import TemplateInstantiator, check_defaults, check_template
from hostler.config.resolve.listener_tables import ResolvedListener, read_listeners
from hostler.config.resolve.server_table import read_server, suggest_header, suggest_place
from hostler.config.resolve.templates import Template, from_template, read_templates, template_of
from hostler.config.source.compose import Composer
from hostler.config.source.merge import Layers
from hostler.config.source.overrides import Settings
from hostler.config.source.read import Source
from hostler.errors import InvalidConfiguration, Problem
from hostler.model.graph import require_variables
from hostler.model.schema.diagnostics import Diagnostics, deduplicated
from hostler.model.schema.server_keys import TOP
from hostler.model.schema.tree import Node, Place, parse_tree
from hostler.model.spec import Configuration, ControlSpec, replace_unchecked
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
    resolution = load_resolved(path, profiles=profiles, settings=settings, environ=environ)
    return _with_variables(resolution.documented)


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
    place = Place(None, None, Path(base).absolute())
    loader = _Loader(ResolveContext(_environ(environ), place.base), Layers.of(profiles, settings))
    tree = loader.composer.extended(parse_tree(mapping, lambda _: place))
    return _with_variables(loader.resolution(tree).documented)


def _with_variables(configuration: Configuration) -> Configuration:
    """The configuration, unless a variable is not set that it cannot be run without."""
    unset = [problem for listener in configuration.listeners.values() for problem in listener.unset]
    if unset:
        raise InvalidConfiguration(unset)
    require_variables(configuration.servers)
    return configuration


class Resolution(NamedTuple):
    """A configuration with its parts as they were read: every value knows where it stands."""

    configuration: Configuration
    servers: Mapping[str, ResolvedServer]
    listeners: Mapping[str, ResolvedListener]
    control: ResolvedControl | None

    @property
    def documented(self) -> Configuration:
        """The configuration with its document, without which it can be run."""
        from hostler.config.dump import document  # noqa: PLC0415 - `hostler run` does without

        parts = document(self.servers.values(), self.listeners.values(), self.control)
        return replace(self.configuration, document=parts)


def load_resolved(
    path: str | os.PathLike[str],
    *,
    profiles: Iterable[str] = (),
    settings: Settings = (),
    environ: Mapping[str, str] | None = None,
    mistakes: list[Problem] | None = None,
) -> Resolution:
    """As `load`, with the parts as they were read; the configuration has no document yet.

    Variables that are not set are no mistake here: specs have them as `unset`. Where `mistakes` is given,
    it gets what was found, and the servers without a mistake are returned.
    """
    source = Source(Path(path))
    loader = _Loader(ResolveContext(_environ(environ), source.folder), Layers.of(profiles, settings))

    try:
        tree = loader.composer.file(source.named)
    except (OSError, ValueError) as error:
        raise _unreadable(source.named, error) from error

    read = loader.resolution(tree, mistakes)
    named = replace(read.configuration, namespace=source.namespace, path=source.file)
    return read._replace(configuration=named)


def _environ(environ: Mapping[str, str] | None) -> Mapping[str, str]:
    return os.environ if environ is None else environ


def _unreadable(file: Path, error: Exception) -> InvalidConfiguration:
    reason = f"cannot be read: {error.strerror if isinstance(error, OSError) else error}"
    begin = "; hostler init writes one" if file.name == "hostler.toml" else ""
    message = f"there is no such file{begin}" if isinstance(error, FileNotFoundError) else reason
    return InvalidConfiguration([Problem("", message, file)])


class _Loader:
    """One load: what it is read in, what lies over the files, and the mistakes met on the way."""

    def __init__(self, context: ResolveContext, layers: Layers) -> None:
        self._context, self._layers = context, layers
        self._found = Diagnostics(suggest_place)
        self.composer = Composer(context.environ, self._found)

    def resolution(self, tree: Node | None, mistakes: list[Problem] | None = None) -> Resolution:
        """Read and check all; raises InvalidConfiguration unless all is well, or `mistakes` is given."""
        found, context = self._found, self._context
        if tree is None or found.problems:
            raise InvalidConfiguration(found.problems)

        for name, node in tree.value.items():
            if name not in TOP:
                found.unknown(node, name, TOP, what=f"unknown key{suggest_header(name, node)}")

        tree = self._layers.over(tree, found)
        defaults, templates = read_defaults(tree, found), read_templates(tree, found)
        check_defaults(defaults, context, found)
        for template in templates.values():
            check_template(template, context, found)

        resolved = self._resolve(tree, templates, defaults)
        listeners = read_listeners(tree, context, found)
        control = read_control(tree, context.environ, found)
        if found.problems:
            resolved = self._valid_servers(resolved, mistakes)
            listeners = {name: one for name, one in listeners.items() if not self._has_problem(one.node)}
        configuration = Configuration(
            servers={name: server.spec for name, server in resolved.items()},
            files=(*self.composer.files, *_files(listeners)),
            templates={name: TemplateInstantiator(one, context, defaults) for name, one in templates.items()},
            listeners={name: listener.spec for name, listener in listeners.items()},
            control=ControlSpec() if control is None else control.spec,
        )
        return Resolution(configuration, resolved, listeners, control)

    def _resolve(
        self, tree: Node, templates: Mapping[str, Template], defaults: Defaults
    ) -> dict[str, ResolvedServer]:
        """Every server that can be read; what they are to each other is checked when that is all of them."""
        found, context = self._found, self._context
        tables = dict(self._servers(tree, templates))
        nodes = {name: from_template(node, templates, found) for name, node in tables.items()}
        resolved = {
            name: _of_template(server, template_of(tables[name]))
            for name, own in nodes.items()
            if own is not None
            and (node := defaults.below(own, context.classes))
            and (server := read_server(name, node, context, found))
        }

        # One that could not be read would be unknown to whoever needs it: a mistake that is none.
        if None not in nodes.values():
            resolved = with_implied_needs(resolved, found)
            check(resolved, context.classes, found)

        return resolved

    def _servers(self, tree: Node, templates: Mapping[str, Template]) -> Iterable[tuple[str, Node]]:
        servers = tree.value.get("servers")
        if servers is None or servers.value == {}:
            # Templates: they come while it runs. An unknown key: the servers stand below a misspelt name.
            if not templates and not any(name not in TOP for name in tree.value):
                self._found.add(tree, "there are no servers; add a table [servers.NAME]", key="servers")
            return ()
        if not isinstance(servers.value, dict):
            self._found.expected(servers, "a table of servers, [servers.NAME]")
            return ()
        items: Iterable[tuple[str, Node]] = servers.value.items()
        return items

    def _valid_servers(
        self, resolved: Mapping[str, ResolvedServer], mistakes: list[Problem] | None
    ) -> dict[str, ResolvedServer]:
        """The servers without a mistake; all mistakes go to `mistakes`, or are raised where that is None."""
        found = self._found
        problems = sorted(deduplicated([*found.problems, *found.unset]), key=_position)
        if mistakes is None:
            raise InvalidConfiguration(problems)
        mistakes += problems
        return {name: server for name, server in resolved.items() if not self._has_problem(server.node)}

    def _has_problem(self, table: Node) -> bool:
        """Whether one stands in the table of a server or listener, or in what was laid over it."""
        keys = {child.key for child in table.walk()}
        return any(one.key in keys or one.key.startswith(f"{table.key}.") for one in self._found.problems)


def _of_template(server: ResolvedServer, template: str | None) -> ResolvedServer:
    """The same, which knows its template."""
    if template is None:
        return server
    return ResolvedServer(server.node, replace_unchecked(server.spec, template=template), server.implied)


def _files(listeners: Mapping[str, ResolvedListener]) -> Iterator[Path]:
    """The files that listeners are made of."""
    if listeners:
        from hostler.launching.resolved_inputs import inputs_of_plugin  # noqa: PLC0415 - few have listeners

        for listener in listeners.values():
            yield from inputs_of_plugin(listener.spec)


def _position(problem: Problem) -> tuple[str, int]:
    return (str(problem.file or ""), problem.line or 0)
