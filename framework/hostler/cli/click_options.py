"""Options and arguments of click that several commands share."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

import click

from hostler.cli.arguments import Layers
from hostler.cli.command_line import LAYERS, Usage
from hostler.config.source.overrides import read_settings

words_argument = click.argument("words", nargs=-1, metavar="[FILE] [NAME]")


def layer_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options `--profile` and `--set`, as its argument `layers`."""

    @wraps(function)
    def command(*arguments: Any, **options: Any) -> None:
        layers = Layers(profiles=options.pop("profile"), settings=read_settings(options.pop("set")))
        try:
            function(*arguments, layers=layers, **options)
        except Usage as error:
            raise click.UsageError(str(error)) from None

    for option in reversed(LAYERS):
        words = (*option.words, option.key)
        command = click.option(*words, multiple=True, metavar=option.metavar, help=option.help)(command)
    return command
