"""Arguments that several commands share."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from pathlib import Path
from typing import Any, NamedTuple, TypedDict

import click

from hostler.cli.import_deadline import bounded_imports
from hostler.config.load import load_resolved
from hostler.config.source.overrides import Setting, read_settings
from hostler.files.bounded_read import STDIN
from hostler.model.schema.diagnostics import likely
from hostler.model.spec import Configuration
from hostler.model.validation import ResolvedServer

DEFAULT_FILE = "hostler.toml"

file_argument = click.argument(
    "file", type=click.Path(path_type=Path), default=DEFAULT_FILE, metavar="[FILE]", required=False
)


class Layers(TypedDict):
    """The values of `--profile` and `--set`, as arguments of `load`."""

    profiles: tuple[str, ...]
    settings: list[Setting]


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
        function(*arguments, layers=Layers(profiles=profiles, settings=read_settings(texts)), **options)

    return command


words_argument = click.argument("words", nargs=-1, metavar="[FILE] [NAME]")


class Selection(NamedTuple):
    """What the words of `[FILE] [NAME]` select: some or all servers of a configuration."""

    configuration: Configuration
    names: list[str]
    resolved: Mapping[str, ResolvedServer]


def select_servers(words: Sequence[str], layers: Layers) -> Selection:
    """Load FILE and select its server NAME, or all of them. click.UsageError for a name that is unknown."""
    file, name = _file_and_name(words)

    with bounded_imports():
        configuration, resolved = load_resolved(file, **layers)

    names = list(configuration.servers)
    if name is None or name in names:
        return Selection(configuration, names if name is None else [name], resolved)

    word = likely(name, names)
    rest = f'; did you mean "{word}"?' if word else f"; there are: {', '.join(names)}"
    raise click.UsageError(f"no server {name!r} in {file}{rest}")


def _file_and_name(words: Sequence[str]) -> tuple[Path, str | None]:
    match list(words):
        case []:
            return Path(DEFAULT_FILE), None
        # One word alone is a file when it looks like one, or is there.
        case [word] if word == STDIN or word.endswith(".toml") or os.sep in word or Path(word).is_file():
            return Path(word), None
        case [word]:
            return Path(DEFAULT_FILE), word
        case [file, name]:
            return Path(file), name
        case _:
            raise click.UsageError("too many arguments: expected a file and the name of a server")
