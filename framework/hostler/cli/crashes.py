"""`hostler crashes`: unexpected exits."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime

import click

from hostler.cli.arguments import Layers, file_and_name, known_name, layer_options, words_argument
from hostler.cli.import_deadline import bounded_imports
from hostler.config.load import load_resolved
from hostler.model.spec import Configuration
from hostler.process.disk.directories import Directories
from hostler.process.disk.namespace import resolve_namespace
from hostler.records.crash_store import CrashStore, StoredCrash


@click.command("crashes")
@words_argument
@layer_options
@click.option("--number", type=click.IntRange(min=1), help="Show the one of this number in full.")
@click.option("--last", is_flag=True, help="Show the newest one in full.")
@click.option("--json", "as_json", is_flag=True, help="Print one record per line as JSON, for programs.")
def command(words: tuple[str, ...], layers: Layers, number: int | None, last: bool, as_json: bool) -> None:
    """List what is on record of servers that exited unexpectedly, the newest last: 20 of each are kept.

    FILE is ./hostler.toml by default, NAME one of its servers. No hostler needs to run for it.
    """
    file, name = file_and_name(words)

    with bounded_imports():
        configuration, _ = load_resolved(file, **layers)

    names = list(configuration.servers) if name is None else [known_name(configuration, file, name)]
    if number is not None and (last or len(names) > 1):
        raise click.UsageError("--number goes with the name of one server, and without --last")

    found = _found(configuration, names)
    chosen = found[-1:] if last else found if number is None else _numbered(found, number)
    _show(chosen, ", ".join(names), as_json=as_json, in_full=last or number is not None)


def _found(configuration: Configuration, names: Sequence[str]) -> list[StoredCrash]:
    directories = Directories.default()
    store = CrashStore(directories.data_for(resolve_namespace(directories, configuration.namespace or "")))
    found = [crash for name in names for crash in store.read(name)]
    return sorted(found, key=lambda crash: crash.record.when) if len(names) > 1 else found


def _numbered(found: Sequence[StoredCrash], number: int) -> list[StoredCrash]:
    chosen = [crash for crash in found if crash.number == number]
    if not chosen:
        numbers = f"there are {found[0].number} to {found[-1].number}" if found else "there is none"
        raise click.UsageError(f"no crash of number {number} is on record; {numbers}")
    return chosen


def _show(crashes: Sequence[StoredCrash], names: str, *, as_json: bool, in_full: bool) -> None:
    from hostler.cli.crash_pages import page, table  # noqa: PLC0415 - programs need no pages
    from hostler.text.sanitize import harmless  # noqa: PLC0415

    if as_json:
        for number, record in crashes:
            click.echo(json.dumps({"number": number} | record.as_dict()))
    elif not crashes:
        click.echo(f"no crash of {names} is on record")
    elif in_full:
        click.echo(harmless(page(crashes[0], datetime.now(UTC))))
    else:
        click.echo(harmless(table(crashes)))
