"""`hostler down`: stop all servers and the hostler that supervises them."""

from __future__ import annotations

from hostler.cli.client.commands import Arguments
from hostler.cli.client.daemon import NOT_RUNNING, TIMED_OUT, ClientError, deadline_of, find
from hostler.cli.client.output import Output


def run(arguments: Arguments, output: Output) -> int:
    """Stop them, and wait until nothing is left; the exit code."""
    daemon = find(arguments)
    if daemon is None:
        output.answer({"stopped": False}, f"no hostler supervises {arguments.file}")
        return 0
    seconds = arguments.seconds("timeout", "5m")
    is_over = deadline_of(seconds)
    try:
        daemon.post("/v1/shutdown", {"force": arguments.has("force")})
    except ClientError as error:
        if error.code != NOT_RUNNING:
            raise
    # It removes the lock last of all: nothing tells of that.
    if daemon.outlives(is_over):
        raise ClientError(
            TIMED_OUT,
            "timed_out",
            f"not all is stopped after {seconds:g} s; it goes on",
            hint="hostler down --force kills what is left",
        )
    output.answer({"stopped": True}, "all servers are stopped")
    return 0
