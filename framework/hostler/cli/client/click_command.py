"""The commands of a table as click shows them: in the help and for the completion of shells."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import click

from hostler.cli.command_line import Command, Option


def click_command(command: Command, call: Callable[[str, Sequence[str]], int]) -> click.Command:
    """The click command of a command; called, it does the same as without click."""
    words = click.Argument(["words"], nargs=-1, metavar=command.words)
    options = [_option(option) for option in command.options]

    def run(words: tuple[str, ...], **values: object) -> None:
        raise SystemExit(call(command.name, [*_given(command, values), *words]))

    return click.Command(command.name, callback=run, params=[words, *options], help=command.help)


def _option(option: Option) -> click.Option:
    return click.Option(
        [*option.words, option.key],
        help=option.help,
        is_flag=not option.has_value,
        multiple=option.repeats,
        metavar=option.metavar or None,
        type=click.Choice(option.choices) if option.choices else None,
        hidden=option.is_hidden,
    )


def _given(command: Command, values: dict[str, object]) -> list[str]:
    """The options of a call as the words that they were."""
    words = []
    for option in command.options:
        value = values[option.key]
        if value is True:
            words.append(f"--{option.name}")
        elif value:
            many = value if isinstance(value, tuple) else (value,)
            words += [f"--{option.name}={one}" for one in many]
    return words
