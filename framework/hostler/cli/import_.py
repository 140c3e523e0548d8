"""`hostler import`: the file of another tool as a hostler.toml."""

from __future__ import annotations

from pathlib import Path

import click

from hostler.cli.scaffold.draft import as_file
from hostler.cli.scaffold.new_config import tell_left_out, write_new_config


@click.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--output", type=click.Path(path_type=Path), metavar="PATH", help="Write to a new file PATH.")
def command(file: Path, output: Path | None) -> None:
    """Print as TOML the servers of FILE, which another tool runs; it is a start, for you to read.

    FILE is a Procfile, an ecosystem.config.js or .json of pm2, a supervisord.conf, a compose.yaml or a
    process-compose.yaml; its name tells which. What could not be carried over is reported by line on the
    standard error. An existing file is never overwritten (exit code 2). YAML needs
    pip install 'hostler[yaml]'.
    """
    from hostler.cli.scaffold.other_tools import read_other  # noqa: PLC0415 - only this command needs it

    drafts = read_other(file)
    text = as_file(drafts.servers)
    if output is None:
        click.echo(text, nl=False)
    else:
        write_new_config(output, text)
    tell_left_out(drafts.left_out)
