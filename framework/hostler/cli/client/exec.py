"""`hostler exec`: a command with the URL and the credentials of a server in its environment."""

from __future__ import annotations

import os
import signal

from hostler.cli.client.daemon import ClientError, deadline_of, require_daemon
from hostler.cli.client.output import Output
from hostler.cli.client.progress import Waiting, quoted
from hostler.cli.command_line import Arguments, Usage

_FAILED, _NOT_EXECUTABLE, _NOT_FOUND = 125, 126, 127


def run(arguments: Arguments, output: Output) -> int:
    """Replace this process by the command; the exit code where that fails."""
    if len(arguments.names) != 1 or not arguments.command:
        raise Usage('name one server, and a command behind "--"')
    try:
        daemon = require_daemon(arguments)
        if not arguments.has("no-wait"):
            Waiting(daemon, arguments.names, "ready").run(deadline_of(arguments))
        found = daemon.get(f"/v1/servers/{quoted(arguments.names[0])}/connection")
    except ClientError as error:
        output.failure(error)
        return _FAILED
    program = arguments.command[0]
    # Python ignores it, and what is ignored would be so in the command too.
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    try:
        os.execvpe(program, list(arguments.command), os.environ | found["env"])  # noqa: S606 - that is the command
    except OSError as error:
        code = _NOT_FOUND if isinstance(error, FileNotFoundError) else _NOT_EXECUTABLE
        output.failure(ClientError("failed", f"{program} cannot be run: {error.strerror}", code))
        return code
