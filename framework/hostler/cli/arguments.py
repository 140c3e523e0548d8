"""Arguments that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, TypedDict

import click

from hostler.config.source.overrides import Setting, read_settings
from hostler.files.bounded_read import STDIN
from hostler.model.schema.diagnostics import likely
from hostler.model.spec import Configuration

DEFAULT_FILE = "hostler.toml"

file_argument = click.argument(
    "file", type=click.Path(path_type=Path), default=DEFAULT_FILE, metavar="[FILE]", required=False
)


class Layers(TypedDict):
    """What the options say is laid over a file: arguments of `load`."""

    profiles: tuple[str, ...]
    settings: list[Setting]


def layer_options(function: Callable[..., None]) -> Callable[..., None]:
    """The options `--profile` and `--set`, handed to the command as `layers`."""

    @click.option("--profile", "profiles", multiple=True, metavar="NAME", help="Lay [profiles.NAME] over it.")
    @click.option(
        "--set",
        "texts",
        multiple=True,
        metavar="KEY=VALUE",
        help="Set one value: servers.web.port=3000. Wins over everything.",
    )
    @wraps(function)
    def command(*arguments: Any, profiles: tuple[str, ...], texts: tuple[str, ...], **options: Any) -> None:
        function(*arguments, layers=Layers(profiles=profiles, settings=read_settings(texts)), **options)

    return command


words_argument = click.argument("words", nargs=-1, metavar="[FILE] [NAME]")


def file_and_name(words: Sequence[str]) -> tuple[Path, str | None]:
    """Tell the words of `[FILE] [NAME]` apart. One alone is a file when it looks like one, or is there."""
    match list(words):
        case []:
            return Path(DEFAULT_FILE), None
        case [word] if word == STDIN or word.endswith(".toml") or os.sep in word or Path(word).is_file():
            return Path(word), None
        case [word]:
            return Path(DEFAULT_FILE), word
        case [file, name]:
            return Path(file), name
        case _:
            raise click.UsageError("too many words: a file and the name of a server are expected")


def known_name(configuration: Configuration, file: Path, name: str) -> str:
    """The name, when there is a server of that name. Else click.UsageError, with a proposal."""
    names = list(configuration.servers)
    if name not in names:
        word = likely(name, names)
        rest = f'; did you mean "{word}"?' if word else f"; there are: {', '.join(names)}"
        raise click.UsageError(f"no server {name!r} in {file}{rest}")
    return name
