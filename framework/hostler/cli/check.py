"""`hostler check`: is this configuration right, and would it start here?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import click

from hostler.cli.arguments import Layers, configuration_file, file_argument, layer_options
from hostler.cli.import_deadline import bounded_imports
from hostler.config.load import load_resolved
from hostler.config.preflight.inspector import Inspector
from hostler.config.preflight.observation import Observation
from hostler.errors import InvalidConfiguration, Problem
from hostler.model.schema.diagnostics import deduplicated
from hostler.model.schema.tree import Node
from hostler.model.spec import ServerSpec
from hostler.process.disk.directories import Directories


@click.command("check")
@file_argument
@layer_options
@click.option("--strict", is_flag=True, help="Treat warnings as errors.")
def command(file: Path, layers: Layers, strict: bool) -> None:
    """Check FILE (./hostler.toml by default) without starting anything; report all errors at once.

    It also checks this machine: missing programs, taken ports, files that cannot be written, and plugins
    that are never called.
    """
    file = configuration_file(file)

    with bounded_imports():
        mistakes: list[Problem] = []
        configuration, drafts, listeners, control = load_resolved(file, **layers, mistakes=mistakes)

    unset = [problem for spec in configuration.servers.values() for problem in spec.unset]
    unset += [problem for spec in configuration.listeners.values() for problem in spec.unset]
    mistakes = mistakes or deduplicated(unset)

    servers = {name: _without_unset_plugins(spec) for name, spec in configuration.servers.items()}
    inspector = Inspector(replace(configuration, servers=servers), Directories.default(), dict(os.environ))

    nodes = {f"servers.{name}": one.node for name, one in drafts.items()}
    nodes |= {f"listeners.{name}": one.node for name, one in listeners.items()}
    nodes |= {} if control is None else {f"control.{name}": one for name, one in control.node.table.items()}

    for one in inspector.observations():
        if strict or one.severity == "mistake":
            mistakes.append(_problem(one, nodes, file))
        else:
            click.echo(f"warning: {_problem(one, nodes, file)}", err=True)

    if mistakes:
        raise InvalidConfiguration(mistakes)

    names = list(configuration.servers)
    count = "1 server" if len(names) == 1 else f"{len(names)} servers"
    also = f"; listeners: {', '.join(listeners)}" if listeners else ""
    click.echo(f"{file}: OK, {count}: {', '.join(names) or 'only templates'}{also}")


def _without_unset_plugins(spec: ServerSpec) -> ServerSpec:
    """The server without the plugins that have an option of which a variable is not set."""
    keys = [problem.key for problem in spec.unset]
    plugins = [one for one in spec.plugins if not any(f".plugins.{one.name}." in f"{key}." for key in keys)]
    return replace(spec, plugins=tuple(plugins))


def _problem(seen: Observation, nodes: Mapping[str, Node], file: Path) -> Problem:
    """The observation with the place of what it is about, or of the table where that would stand."""
    what, name, *keys = [*seen.key.split("."), ""]
    node = nodes.get(f"{what}.{name}")
    if node is None:
        return Problem(seen.key, seen.message, file)
    place = node.at(*keys).place
    return Problem(seen.key, seen.message, place.file or file, place.line)
