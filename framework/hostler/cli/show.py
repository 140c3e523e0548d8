"""`hostler show`: the effective configuration, and where it comes from."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace

import click

from hostler.cli.arguments import Layers, layer_options, select_servers, words_argument
from hostler.config.dump import dump
from hostler.config.resolve.listener_tables import ResolvedListener
from hostler.model.schema.diagnostics import deduplicated
from hostler.model.schema.masked import masked
from hostler.model.spec import Configuration
from hostler.secrets.masking import Masker


@click.command("show")
@words_argument
@layer_options
@click.option("--origin", is_flag=True, help="Print where each value comes from, and what set each variable.")
def command(words: tuple[str, ...], layers: Layers, origin: bool) -> None:
    """Print FILE (./hostler.toml by default) merged with what it extends, as TOML; or only the server NAME.

    Variables stay as you wrote them: ${NAME}; credentials in the file are masked. With --origin, print the
    file and line of each value, and what set each variable of the environment at the last start.
    """
    configuration, names, resolved, listeners = select_servers(words, layers)
    unset = [problem for one in names for problem in configuration.servers[one].unset]
    unset += [problem for one in listeners.values() for problem in one.spec.unset]
    notes = "".join(f"# unset: {problem}\n" for problem in deduplicated(unset))
    notes += _log_files(_only(configuration, names, listeners))

    if not origin:
        text = dump(_only(configuration, names, listeners))
        click.echo(notes + Masker(_secrets_of(listeners.values())).text(text), nl=False)
        return

    from hostler.cli.provenance import origins_text  # noqa: PLC0415 - it needs much that `show` alone does not

    click.echo(notes + origins_text(configuration, [resolved[one] for one in names], listeners.values()))


def _log_files(configuration: Configuration) -> str:
    """A comment for each server whose output a plugin writes to a file."""
    from hostler.config.preflight import Inspector  # noqa: PLC0415 - it needs much that few others do
    from hostler.process.disk.directories import Directories  # noqa: PLC0415

    paths = Inspector(configuration, Directories.default(), dict(os.environ)).log_files()
    return "".join(f"# log file of {name}: {path}\n" for name, path in paths)


def _secrets_of(listeners: Iterable[ResolvedListener]) -> Iterator[str]:
    from hostler.plugins.hidden_options import hidden_in  # noqa: PLC0415 - few have listeners

    for listener in listeners:
        yield from hidden_in(listener.spec)


def _only(configuration: Configuration, names: list[str], listeners: Collection[str]) -> Configuration:
    """The configuration with these servers and listeners alone, and without credentials."""
    servers = {name: configuration.servers[name] for name in names}
    document = dict(configuration.document)

    if len(names) < len(configuration.servers):
        table = document["servers"]
        assert isinstance(table, dict)
        document["servers"] = {name: table[name] for name in names}

    if not listeners:
        document.pop("listeners", None)

    shown = masked(document)
    assert isinstance(shown, dict)
    return replace(configuration, servers=servers, document=shown)
