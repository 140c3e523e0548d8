"""The servers of a hostler as a table for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from hostler.cli.client.daemon import ClientError
from hostler.cli.formatting import aligned, format_duration
from hostler.control.conditions import Standing

Row = dict[str, Any]
_HEAD = ("NAME", "STATE", "PID", "UPTIME", "RESTARTS", "MEMORY", "URL")


def select_rows(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Those of these names; all, without names. Raises ClientError for a name that is unknown."""
    refuse_unknown([row["name"] for row in rows], names)
    return [row for row in rows if not names or row["name"] in names]


def rows_to_wait_for(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Those of these names; without names, those that are wanted or were. Raises ClientError as above."""
    return select_rows(rows, names) if names else [row for row in rows if standing(row).counts]


def refuse_unknown(known: Sequence[str], names: Sequence[str]) -> None:
    """Raise ClientError for a name that none of the known servers has."""
    for name in names:
        if name not in known:
            there = ", ".join(known) or "none"
            raise ClientError("not_found", f"there is no server {name!r}; there are: {there}")


def table(rows: Iterable[Row]) -> str:
    """A line for each server under a head, in columns."""
    return aligned([_HEAD, *(_cells(row) for row in rows)], right=_HEAD.index("PID"))


def state_of(row: Row) -> str:
    """The state in words: "running, unhealthy", "backoff, 4 s", "completed"."""
    if row["completed"]:
        return "completed"
    state = str(row["state"]).replace("_", " ")
    if row["state"] == "running" and row["health"] == "unhealthy":
        return f"{state}, unhealthy"
    next_try = row["restarts"]["next_try"]
    if row["state"] == "backoff" and next_try:
        from datetime import UTC, datetime  # noqa: PLC0415 - few servers wait

        left = (datetime.fromisoformat(next_try) - datetime.now(UTC)).total_seconds()
        return f"{state}, {max(left, 0):.0f} s"
    return state


def is_fine(row: Row) -> bool:
    """Whether a server that is wanted is ready, and not unhealthy."""
    return standing(row).fulfils("healthy") or (row["wanted"] == "down" and row["state"] == "stopped")


def standing(row: Row) -> Standing:
    """What can be waited for, of a row."""
    return Standing(row["state"], row["wanted"], row["completed"], row["health"], row.get("idle"))


def _cells(row: Row) -> Sequence[str]:
    restarts = row["restarts"]
    memory = row["memory"]
    return (
        row["name"],
        state_of(row),
        _or_dash(row["pid"]),
        "-" if row["uptime"] is None else format_duration(row["uptime"]),
        f"{restarts['used']} of {restarts['allowed']}",
        "-" if memory is None else size(memory["rss"]),
        _or_dash(row["url"]),
    )


def _or_dash(value: object) -> str:
    return "-" if value is None else str(value)


def size(count: int) -> str:
    """A number of bytes: "512 KiB", "12 MiB", "1.5 GiB"."""
    if count < 2**20:
        return f"{count // 2**10} KiB"
    return f"{count // 2**20} MiB" if count < 2**30 else f"{count / 2**30:.1f} GiB"
