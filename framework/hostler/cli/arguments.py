"""Arguments that several commands share."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import click

from hostler.config.findings import likely
from hostler.model import Configuration

DEFAULT_FILE = "hostler.toml"

file_argument = click.argument(
    "file", type=click.Path(path_type=Path), default=DEFAULT_FILE, metavar="[FILE]", required=False
)

words_argument = click.argument("words", nargs=-1, metavar="[FILE] [NAME]")


def file_and_name(words: Sequence[str]) -> tuple[Path, str | None]:
    """Tell the words of `[FILE] [NAME]` apart. One alone is a file when it looks like one, or is there."""
    match list(words):
        case []:
            return Path(DEFAULT_FILE), None
        case [word] if word.endswith(".toml") or os.sep in word or Path(word).is_file():
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
