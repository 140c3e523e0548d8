"""`hostler url`: where a server listens."""

from __future__ import annotations

from hostler.cli.client.daemon import ClientError, require_daemon
from hostler.cli.client.output import Output
from hostler.cli.client.progress import quoted
from hostler.cli.client.rows import state_of
from hostler.cli.command_line import Arguments, Usage


def run(arguments: Arguments, output: Output) -> int:
    """Print the URL alone; the exit code."""
    if len(arguments.names) != 1:
        raise Usage("name one server")
    row = require_daemon(arguments).get(f"/v1/servers/{quoted(arguments.names[0])}")
    if row["url"] is None:
        raise ClientError("failed", f"it has no URL now: {state_of(row)}", server=row["name"])
    output.answer({"url": row["url"]}, row["url"])
    return 0
