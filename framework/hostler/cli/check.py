"""`hostler check`: is this configuration right, and would it start here?"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from hostler.cli.arguments import DEFAULT_FILE, configuration_file, layers_of
from hostler.cli.command_line import Arguments, Usage
from hostler.cli.import_deadline import bounded_imports
from hostler.cli.safe_streams import write_line
from hostler.config.load import Resolution, load_resolved
from hostler.config.preflight.inspector import Inspector
from hostler.config.preflight.observation import Observation
from hostler.errors import InvalidConfiguration, Problem
from hostler.model.schema.diagnostics import deduplicated
from hostler.model.schema.tree import Node
from hostler.model.spec import ServerSpec
from hostler.process.disk.directories import Directories


def run(arguments: Arguments) -> int:
    """Check the file, and this machine."""
    if len(arguments.words) > 1:
        raise Usage(f"too many arguments: expected one file, found {' '.join(arguments.words)}")
    file = configuration_file(Path(next(iter(arguments.words), DEFAULT_FILE)))

    with bounded_imports():
        mistakes: list[Problem] = []
        resolved = load_resolved(file, **layers_of(arguments), mistakes=mistakes)

    configuration = resolved.configuration
    unset = [problem for spec in configuration.servers.values() for problem in spec.unset]
    unset += [problem for spec in configuration.listeners.values() for problem in spec.unset]
    mistakes = mistakes or deduplicated(unset)

    for one, problem in _observed(resolved, file):
        if arguments.has("strict") or one.severity == "mistake":
            mistakes.append(problem)
        else:
            write_line(sys.stderr, f"warning: {problem}")

    if mistakes:
        raise InvalidConfiguration(mistakes)

    names, listeners = list(configuration.servers), resolved.listeners
    count = "1 server" if len(names) == 1 else f"{len(names)} servers"
    also = f"; listeners: {', '.join(listeners)}" if listeners else ""
    write_line(sys.stdout, f"{file}: OK, {count}: {', '.join(names) or 'only templates'}{also}")
    return 0


def _observed(resolved: Resolution, file: Path) -> Iterator[tuple[Observation, Problem]]:
    """What is seen on this machine, each with its place in the configuration."""
    configuration, control = resolved.documented, resolved.control
    servers = {name: _without_unset_plugins(spec) for name, spec in configuration.servers.items()}
    inspector = Inspector(replace(configuration, servers=servers), Directories.default(), dict(os.environ))

    nodes = {f"servers.{name}": one.node for name, one in resolved.servers.items()}
    nodes |= {f"listeners.{name}": one.node for name, one in resolved.listeners.items()}
    nodes |= {} if control is None else {f"control.{name}": one for name, one in control.node.table.items()}
    yield from ((one, _problem(one, nodes, file)) for one in inspector.observations())


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
