"""`hostler down`: stop all servers and the hostler that supervises them."""

from __future__ import annotations

from hostler.cli.client.daemon import ClientError, deadline_of, find_daemon
from hostler.cli.client.output import Output
from hostler.cli.command_line import Arguments, file_words


def run(arguments: Arguments, output: Output) -> int:
    """Stop them, and wait until nothing is left; the exit code."""
    daemon = find_daemon(arguments)
    if daemon is None:
        output.answer({"stopped": False}, f"no hostler supervises {arguments.file}")
        return 0
    deadline = deadline_of(arguments)
    if not daemon.shut_down(deadline, force=arguments.has("force")):
        raise ClientError(
            "timed_out",
            f"not all is stopped after {deadline.seconds:g} s; it goes on",
            hint=f"hostler down{file_words(arguments.file)} --force kills what is left",
        )
    daemon.wait_for_exit()
    output.answer({"stopped": True}, "all servers are stopped")
    return 0
