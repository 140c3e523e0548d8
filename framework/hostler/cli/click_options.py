"""Options and arguments of click that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from hostler.cli.arguments import Layers
from hostler.cli.client.commands import Usage
from hostler.config.source.overrides import read_settings

words_argument = click.argument("words", nargs=-1, metavar="[FILE] [NAME]")


def layer_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options `--profile` and `--set`, as its argument `layers`."""

    @click.option("--profile", "profiles", multiple=True, metavar="NAME", help="Apply [profiles.NAME].")
    @click.option(
        "--set",
        "texts",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set one value: servers.web.port=3000. Takes precedence over everything.",
    )
    @wraps(function)
    def command(*arguments: Any, profiles: tuple[str, ...], texts: tuple[str, ...], **options: Any) -> None:
        layers = Layers(profiles=profiles, settings=read_settings(texts))
        try:
            function(*arguments, layers=layers, **options)
        except Usage as error:
            raise click.UsageError(str(error)) from None

    return command
