"""`hostler show`: the configuration as it is in force."""

from __future__ import annotations

from pathlib import Path

import click

from hostler.cli.arguments import file_argument
from hostler.config import dump, load


@click.command("show")
@file_argument
def command(file: Path) -> None:
    """Print FILE merged with what it extends, as TOML. Variables stay as they are written: ${NAME}."""
    click.echo(dump(load(file)), nl=False)
