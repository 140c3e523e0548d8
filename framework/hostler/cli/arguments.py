"""Arguments that several commands share."""

from __future__ import annotations

from pathlib import Path

import click

DEFAULT_FILE = "hostler.toml"

file_argument = click.argument(
    "file", type=click.Path(path_type=Path), default=DEFAULT_FILE, metavar="[FILE]", required=False
)
