"""Crash records for people: as a table, and one in full."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from hostler.cli.formatting import at, indented, lasting
from hostler.events.crash import CrashRecord
from hostler.events.messages import spent, what_followed
from hostler.records.crash_store import StoredCrash

_HEAD = ("no.", "time", "server", "run", "how it ended", "uptime", "what followed")


def table(crashes: Sequence[StoredCrash]) -> str:
    """One line for each, in columns."""
    rows = [_HEAD, *(_row(number, record) for number, record in crashes)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEAD))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def page(crash: StoredCrash, now: datetime) -> str:
    """All that is known of one."""
    record = crash.record
    ago = lasting((now - record.when).total_seconds())
    how = "exited unexpectedly" if record.started else "could not be started"
    title = f"{record.server}, crash {crash.number}: run {record.generation} {how}"
    lines = [f"{title} at {at(record.when, now)}, {ago} ago", *_facts(record, now)]

    for stream, text in (("stderr", record.stderr), ("stdout", record.stdout)):
        lines.append(f"  last lines of {stream}:" if text.strip() else f"  nothing on {stream}")
        lines += [indented(text)] if text.strip() else []

    return "\n".join(lines)


def ending(record: CrashRecord) -> str:
    """How it ended: "killed by SIGKILL", and whether that was hostler."""
    return f"{record.how}, ended by hostler" if record.killed else record.how


def _row(number: int, record: CrashRecord) -> tuple[str, ...]:
    return (
        str(number),
        f"{record.when.astimezone():%Y-%m-%d %H:%M:%S}",
        record.server,
        str(record.generation),
        ending(record),
        lasting(record.uptime),
        what_followed(record),
    )


def _facts(record: CrashRecord, now: datetime) -> Iterator[str]:
    ready = "it had been ready" if record.ready else "it had not been ready"
    pid = "" if record.pid is None else f" (pid {record.pid})"
    how = f"{ending(record)} after {lasting(record.uptime)}{pid}; {ready}" if record.started else record.how
    yield f"  how: {how}"
    yield f"  why: {record.reason} ({', '.join(part for part in (record.error, record.cause.value) if part)})"
    tried = "" if record.next_try is None else f" at {at(record.next_try, now)}"
    yield f"  what followed: {what_followed(record)}{tried}; {spent(record)}"

    if record.hint:
        yield f"  what to do: {record.hint}"

    if record.memory:
        yield "  memory:"

    for point in record.memory:
        processes = "1 process" if point.processes == 1 else f"{point.processes} processes"
        yield f"    {point.rss >> 20} MiB in {processes} after {lasting(point.uptime)}"

    if record.plugins:
        yield "  plugins:"

    for word in record.plugins:
        yield f"    {word.plugin} ({word.hook}): {word.text}"
