"""`hostler wait`: until servers are ready, healthy, stopped, completed or idle."""

from __future__ import annotations

from hostler.cli.client.daemon import NOT_RUNNING, ClientError, deadline_of, require_daemon
from hostler.cli.client.output import Output
from hostler.cli.client.progress import Waiting
from hostler.cli.client.rows import table
from hostler.cli.command_line import Arguments


def run(arguments: Arguments, output: Output) -> int:
    """Wait; the exit code."""
    condition = arguments.text("for", "ready")
    stable = arguments.seconds("stable") or 0.0
    deadline = deadline_of(arguments)
    daemon = require_daemon(arguments)
    try:
        rows = Waiting(daemon, arguments.names, condition).run(deadline, stable)
    except ClientError as error:
        if condition != "stopped" or error.code != NOT_RUNNING:
            raise
        rows = []  # with their hostler all have ended
    output.answer({"servers": rows}, table(rows) if rows else "no servers")
    return 0
