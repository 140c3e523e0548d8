"""`hostler ps`: the servers of a hostler, and how they are."""

from __future__ import annotations

import os
from typing import Any

from hostler.cli.client.daemon import FAILED, NOT_RUNNING, ClientError, Daemon, find_daemon, not_running_error
from hostler.cli.client.output import Output
from hostler.cli.client.rows import is_fine, select_rows, table
from hostler.cli.command_line import Arguments
from hostler.control.location import locations


def run(arguments: Arguments, output: Output) -> int:
    """Show them; the exit code."""
    if arguments.has("all"):
        return _show_all(output)
    daemon = find_daemon(arguments)
    if daemon is None:
        return _show_last(arguments, output)
    answer = daemon.get("/v1/servers")
    answer["servers"] = rows = select_rows(answer["servers"], arguments.names)
    output.answer(answer, table(rows) if rows else "no servers")
    return FAILED if arguments.has("check") and not all(map(is_fine, rows)) else 0


def _show_last(arguments: Arguments, output: Output) -> int:
    """What is on record, where nobody can be asked."""
    refusal = not_running_error(arguments.file)
    if refusal.code != NOT_RUNNING:
        raise refusal
    from hostler.cli.client.last_known import last_known, table_of_last  # noqa: PLC0415 - where it is needed

    rows = last_known(arguments.file)
    rows = select_rows(rows, arguments.names) if rows else rows
    output.refusal(refusal, {"servers": rows}, table_of_last(rows) if rows else "")
    return refusal.code


def _show_all(output: Output) -> int:
    """One line for each hostler of this user; one that does not answer is shown as such."""
    found: list[dict[str, Any]] = []
    for location in locations(os.environ):
        if location.is_held():
            known = location.describe()
            known["servers"] = _names_of(Daemon(location))
            found.append(known)
    lines = []
    for one in found:
        servers = one["servers"]
        names = "does not answer" if servers is None else ", ".join(servers) or "no servers"
        lines.append(f"{one.get('configuration')}  (pid {one.get('pid')})  {names}")
    output.answer({"daemons": found}, "\n".join(lines) or "no hostler runs")
    return 0


def _names_of(daemon: Daemon) -> list[str] | None:
    try:
        return [row["name"] for row in daemon.get("/v1/servers")["servers"]]
    except ClientError:
        return None
