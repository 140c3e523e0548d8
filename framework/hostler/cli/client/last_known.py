"""What is on record of servers that no hostler supervises: `hostler ps` without a hostler to ask."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from hostler.cli.formatting import aligned, format_time

if TYPE_CHECKING:
    from hostler.records.inspect import ServerInspection

_HEAD = ("NAME", "LAST STATE", "SINCE", "PID", "LAST CRASH")


def last_known(file: str) -> list[dict[str, Any]]:
    """What is known of each server of a configuration; nothing where it cannot be read."""
    # Only here: who finds a hostler asks that.
    from hostler.cli.import_deadline import bounded_imports  # noqa: PLC0415
    from hostler.config.load import load_resolved  # noqa: PLC0415
    from hostler.errors import InvalidConfiguration  # noqa: PLC0415
    from hostler.process.disk.directories import Directories  # noqa: PLC0415
    from hostler.process.disk.namespace import resolve_namespace  # noqa: PLC0415
    from hostler.records.inspect import inspect_server  # noqa: PLC0415

    try:
        with bounded_imports():
            configuration = load_resolved(file, mistakes=[]).configuration
    except InvalidConfiguration:
        return []
    own = Directories.default()
    namespace = resolve_namespace(own, configuration.namespace or "")
    return [_row(inspect_server(name, namespace, own)) for name in configuration.servers]


def table_of_last(rows: Sequence[dict[str, Any]]) -> str:
    """The same for people."""
    lines = [_HEAD, *(_cells(row) for row in rows)]
    return aligned(lines, right=_HEAD.index("PID"))


def _row(it: ServerInspection) -> dict[str, Any]:
    status, crash = it.status, it.last_crash
    return {
        "name": it.server,
        "state": None if status is None else status.state.value,
        "lost": it.lost,
        "since": None if status is None else _time(status.since),
        "reason": "" if status is None else status.reason,
        "generation": 0 if status is None else status.generation,
        "pid": it.run.pid if it.run is not None and it.alive else None,
        "supervisor": None if it.owner is None else it.owner.pid,
        "last_crash": None
        if crash is None
        else {"when": _time(crash.when), "how": crash.how, "decision": crash.decision},
    }


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    state = "never started" if row["state"] is None else row["state"].replace("_", " ")
    if row["lost"]:
        state = f"{state}, then its hostler was gone"
    elif row["supervisor"] is not None:
        state = f"{state}, by hostler (pid {row['supervisor']}) without a control socket"
    crash = row["last_crash"]
    return (
        row["name"],
        state,
        _local(row["since"]),
        "-" if row["pid"] is None else str(row["pid"]),
        "-" if crash is None else f"{crash['how']}, at {_local(crash['when'])}",
    )


def _time(time: datetime) -> str:
    return time.astimezone(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _local(text: str | None) -> str:
    return "-" if text is None else format_time(datetime.fromisoformat(text), datetime.now(UTC))
