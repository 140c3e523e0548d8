"""`hostler down`: stop all servers and the hostler that supervises them."""

from __future__ import annotations

from hostler.cli.client.commands import Arguments, file_words
from hostler.cli.client.daemon import NOT_RUNNING, TIMED_OUT, ClientError, Deadline, find
from hostler.cli.client.output import Output


def run(arguments: Arguments, output: Output) -> int:
    """Stop them, and wait until nothing is left; the exit code."""
    daemon = find(arguments)
    if daemon is None:
        output.answer({"stopped": False}, f"no hostler supervises {arguments.file}")
        return 0
    deadline = Deadline(arguments.seconds("timeout", "5m"))
    try:
        daemon.post("/v1/shutdown", {"force": arguments.has("force")})
    except ClientError as error:
        if error.code != NOT_RUNNING:
            raise
    # It removes the lock last of all: nothing tells of that.
    if daemon.outlives(deadline):
        raise ClientError(
            TIMED_OUT,
            "timed_out",
            f"not all is stopped after {deadline.seconds:g} s; it goes on",
            hint=f"hostler down{file_words(arguments.file)} --force kills what is left",
        )
    daemon.wait_for_exit()
    output.answer({"stopped": True}, "all servers are stopped")
    return 0
