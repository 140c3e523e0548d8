"""`hostler crashes`: unexpected exits."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from textwrap import indent

import click

from hostler.cli.arguments import Layers, select_servers
from hostler.cli.click_options import layer_options, words_argument
from hostler.cli.formatting import aligned, format_duration, format_time
from hostler.events.crash import CrashRecord
from hostler.events.crash_words import how_it_ended, spent, what_followed
from hostler.model.spec import Configuration
from hostler.process.disk.directories import Directories
from hostler.process.disk.namespace import resolve_namespace
from hostler.records.crash_store import CrashStore, StoredCrash

_MARGIN = " " * 4
_HEAD = ("no.", "time", "server", "run", "how it ended", "uptime", "what followed")


@click.command("crashes")
@words_argument
@layer_options
@click.option("--number", type=click.IntRange(min=1), help="Show the crash with this number in full.")
@click.option("--last", is_flag=True, help="Show the newest crash in full.")
@click.option("--json", "as_json", is_flag=True, help="Print one record per line as JSON, for programs.")
def command(words: tuple[str, ...], layers: Layers, number: int | None, last: bool, as_json: bool) -> None:
    """List the unexpected exits of servers, the newest last; the last 20 of each server are kept.

    FILE is ./hostler.toml by default, NAME one of its servers. hostler does not have to be running.
    """
    names, read = select_servers(words, layers)
    if number is not None and (last or len(names) > 1):
        raise click.UsageError("--number goes with the name of one server, and without --last")

    found = _found(read.configuration, names)
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
        raise click.UsageError(f"there is no record of crash {number}; {numbers}")
    return chosen


def _show(crashes: Sequence[StoredCrash], names: str, *, as_json: bool, in_full: bool) -> None:
    if as_json:
        for number, record in crashes:
            click.echo(json.dumps({"number": number} | record.as_dict()))
    elif not crashes:
        click.echo(f"no crash of {names} is on record")
    elif in_full:
        click.echo(page(crashes[0], datetime.now(UTC)))
    else:
        click.echo(table(crashes))


def table(crashes: Sequence[StoredCrash]) -> str:
    """One line for each, in columns."""
    return aligned([_HEAD, *(_row(number, record) for number, record in crashes)])


def page(crash: StoredCrash, now: datetime) -> str:
    """All that is known of one."""
    record = crash.record
    ago = format_duration((now - record.when).total_seconds())
    how = "exited unexpectedly" if record.started else "could not be started"
    title = f"{record.server}, crash {crash.number}: run {record.generation} {how}"
    lines = [f"{title} at {format_time(record.when, now)}, {ago} ago", *_facts(record, now)]

    for stream, text in (("stderr", record.stderr), ("stdout", record.stdout)):
        lines.append(f"  last lines of {stream}:" if text.strip() else f"  nothing on {stream}")
        lines += [indent(text.rstrip(), _MARGIN)] if text.strip() else []

    return "\n".join(lines)


def _row(number: int, record: CrashRecord) -> tuple[str, ...]:
    return (
        str(number),
        f"{record.when.astimezone():%Y-%m-%d %H:%M:%S}",
        record.server,
        str(record.generation),
        how_it_ended(record),
        format_duration(record.uptime),
        what_followed(record),
    )


def _facts(record: CrashRecord, now: datetime) -> Iterator[str]:
    ready = "it had been ready" if record.ready else "it had not been ready"
    pid = "" if record.pid is None else f" (pid {record.pid})"
    how = (
        f"{how_it_ended(record)} after {format_duration(record.uptime)}{pid}; {ready}"
        if record.started
        else record.how
    )
    yield f"  how: {how}"
    yield f"  why: {record.reason} ({', '.join(part for part in (record.error, record.cause.value) if part)})"
    tried = "" if record.next_try is None else f" at {format_time(record.next_try, now)}"
    yield f"  what followed: {what_followed(record)}{tried}; {spent(record)}"

    if record.hint:
        yield f"  what to do: {record.hint}"

    if record.memory:
        yield "  memory:"

    for point in record.memory:
        processes = "1 process" if point.processes == 1 else f"{point.processes} processes"
        yield f"    {point.rss >> 20} MiB in {processes} after {format_duration(point.uptime)}"

    if record.plugins:
        yield "  plugins:"

    for word in record.plugins:
        yield f"    {word.plugin} ({word.hook}): {word.text}"
