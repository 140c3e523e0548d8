"""`hostler check`: is this configuration right?"""

from __future__ import annotations

from pathlib import Path

import click

from hostler.cli.arguments import file_argument
from hostler.config import load


@click.command("check")
@file_argument
def command(file: Path) -> None:
    """Check FILE (./hostler.toml by default) without starting anything; shows all mistakes at once."""
    names = list(load(file).servers)
    count = "1 server" if len(names) == 1 else f"{len(names)} servers"
    click.echo(f"{file}: right, {count}: {', '.join(names)}")
