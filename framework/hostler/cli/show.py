"""`hostler show`: the effective configuration, and where it comes from."""

from __future__ import annotations

import os

import click

from hostler.cli.arguments import Layers, select_servers
from hostler.cli.click_options import layer_options, words_argument
from hostler.config.show import masked_toml, only
from hostler.model.schema.diagnostics import deduplicated
from hostler.model.spec import Configuration


@click.command("show")
@words_argument
@layer_options
@click.option("--origin", is_flag=True, help="Print where each value comes from, and what set each variable.")
def command(words: tuple[str, ...], layers: Layers, origin: bool) -> None:
    """Print FILE (./hostler.toml by default) merged with what it extends, as TOML; or only the server NAME.

    Variables stay as you wrote them: ${NAME}; credentials in the file are masked. With --origin, print the
    file and line of each value, and what set each variable of the environment at the last start.
    """
    names, read = select_servers(words, layers)
    configuration, listeners, control = read.documented, read.listeners, read.control
    unset = [problem for one in names for problem in configuration.servers[one].unset]
    unset += [problem for one in listeners.values() for problem in one.spec.unset]
    notes = "".join(f"# unset: {problem}\n" for problem in deduplicated(unset))
    notes += _log_files(only(configuration, names, {}))

    if not origin:
        click.echo(notes + masked_toml(configuration, names, listeners, control), nl=False)
        return

    from hostler.cli.provenance import origins_text  # noqa: PLC0415 - it needs much that `show` alone does not

    servers = [read.servers[one] for one in names]
    click.echo(notes + origins_text(configuration, servers, listeners.values(), control))


def _log_files(configuration: Configuration) -> str:
    """A comment for each server whose output a plugin writes to a file."""
    from hostler.config.preflight.inspector import Inspector  # noqa: PLC0415 - it needs much that few others do
    from hostler.process.disk.directories import Directories  # noqa: PLC0415

    paths = Inspector(configuration, Directories.default(), dict(os.environ)).log_files()
    return "".join(f"# log file of {name}: {path}\n" for name, path in paths)
