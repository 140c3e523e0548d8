"""Arguments that several commands share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, TypedDict

from hostler.cli import command_line
from hostler.cli.command_line import Arguments, Usage
from hostler.cli.import_deadline import bounded_imports
from hostler.config.load import Resolution, load_resolved
from hostler.config.source.overrides import Setting, read_settings
from hostler.model.schema.diagnostics import likely

DEFAULT_FILE = command_line.DEFAULT_FILE


def configuration_file(word: str | Path) -> Path:
    """The file that a word names; a folder stands for the configuration in it."""
    return Path(command_line.configuration_file(str(word)))


def file_and_names(words: Sequence[str]) -> tuple[Path, tuple[str, ...]]:
    """The words of `[FILE] [NAMES]`: where the first looks like no file, all are names of servers."""
    file, names = command_line.file_and_names(words)
    return Path(file), names


def unknown_server(name: str, file: Path, names: Sequence[str]) -> Usage:
    """The error for a server that a file does not have, with the likely one, or else with all."""
    word = likely(name, names)
    rest = f'; did you mean "{word}"?' if word else f"; there are: {', '.join(names)}"
    return Usage(f"no server {name!r} in {file}{rest}")


class Layers(TypedDict):
    """The values of `--profile` and `--set`, as arguments of `load`."""

    profiles: tuple[str, ...]
    settings: list[Setting]


def layers_of(arguments: Arguments) -> Layers:
    """The layers that a call names. Raises InvalidConfiguration for what is no setting."""
    return Layers(profiles=tuple(arguments.texts("profile")), settings=read_settings(arguments.texts("set")))


class Selection(NamedTuple):
    """What the words of `[FILE] [NAME]` select: one server alone, or all that a configuration has."""

    names: list[str]
    read: Resolution


def select_servers(words: Sequence[str], layers: Layers) -> Selection:
    """Load FILE and select its server NAME, or all of them. Usage for a name that is unknown."""
    file, name = _file_and_name(words)

    with bounded_imports():
        read = load_resolved(file, **layers)

    names = list(read.configuration.servers)
    if name is None:
        return Selection(names, read)
    if name in names:
        return Selection([name], read._replace(listeners={}, control=None))

    raise unknown_server(name, file, names)


def _file_and_name(words: Sequence[str]) -> tuple[Path, str | None]:
    if len(words) == 2:  # two words are a file and a name, whatever the first looks like
        return configuration_file(words[0]), words[1]
    file, names = file_and_names(words)
    if len(names) > 1:
        raise Usage("too many arguments: expected a file and the name of a server")
    return file, next(iter(names), None)
