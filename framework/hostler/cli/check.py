"""`hostler check`: is this configuration right, and would it start here?"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

import click

from hostler.cli.arguments import Layers, file_argument, layer_options
from hostler.cli.patience import bounded_imports
from hostler.config.loading import load_drafts
from hostler.config.servers import Draft
from hostler.errors import InvalidConfiguration, Problem
from hostler.inspection import Inspector, Observation
from hostler.model import Configuration
from hostler.order import refuse_unset
from hostler.process.directories import Directories


@click.command("check")
@file_argument
@layer_options
@click.option("--strict", is_flag=True, help="A warning is a mistake too.")
def command(file: Path, layers: Layers, strict: bool) -> None:
    """Check FILE (./hostler.toml by default) without starting anything; shows all mistakes at once.

    Looks at this machine too: programs that are missing, ports that are taken, files that cannot be
    written, plugins that nobody would call.
    """
    with bounded_imports():
        configuration, drafts = load_drafts(file, **layers)

    refuse_unset(configuration.servers, configuration.servers)
    seen = _look(configuration)
    mistakes = [one for one in seen if strict or one.weight == "mistake"]

    for one in seen:
        if one not in mistakes:
            click.echo(f"warning: {_problem(one, drafts, file)}", err=True)

    if mistakes:
        raise InvalidConfiguration([_problem(one, drafts, file) for one in mistakes])

    names = list(configuration.servers)
    count = "1 server" if len(names) == 1 else f"{len(names)} servers"
    click.echo(f"{file}: right, {count}: {', '.join(names) or 'templates alone'}")


def _look(configuration: Configuration) -> list[Observation]:
    return list(Inspector(configuration, Directories.default(), dict(os.environ)).observations())


def _problem(seen: Observation, drafts: Mapping[str, Draft], file: Path) -> Problem:
    """The observation with the place of what it is about, or of the table where that would stand."""
    _, _, rest = seen.key.partition(".")
    name, _, keys = rest.partition(".")

    if name not in drafts:
        return Problem(seen.key, seen.message, file)

    place = drafts[name].at(*keys.split(".")).place
    return Problem(seen.key, seen.message, place.file or file, place.line)
