"""The configuration that `hostler init` and `hostler import` write, never over one that exists."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click


def tell_left_out(messages: Iterable[str]) -> None:
    """Report on the standard error what could not be carried over from another tool's file."""
    for message in messages:
        click.echo(f"not carried over: {message}", err=True)


def write_new_config(path: Path, text: str) -> None:
    """Write a new file, and say so. Raises click.UsageError where there is one already."""
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(text)
    except FileExistsError:
        raise click.UsageError(
            f"{path} exists already, and was not changed; remove or rename it first"
        ) from None
    except OSError as error:
        raise click.ClickException(f"{path} cannot be written: {error.strerror}") from None
    click.echo(f"{path}: written; next: hostler check {path}")
