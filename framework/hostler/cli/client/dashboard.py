"""`hostler dashboard`: the servers in a browser."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping

from hostler.cli.client.daemon import require_daemon
from hostler.cli.client.output import Output
from hostler.cli.command_line import Arguments, Usage

_OPEN = "import sys, webbrowser; sys.exit(not webbrowser.open(sys.argv[1]))"
_OPEN_SECONDS = 10.0


def run(arguments: Arguments, output: Output) -> int:
    """Have hostler listen for a browser, open that, and print the address; the exit code."""
    if arguments.names:
        raise Usage(f"it shows all servers, found {arguments.names[0]!r}")
    answer = require_daemon(arguments).post("/v1/dashboard", {"keep": arguments.has("keep")})
    output.answer(answer, answer["url"])
    if arguments.has("no-open"):
        output.note("open it within a minute; it works once")
    elif not (has_screen(os.environ) and _opened(answer["url"])):
        output.note("no browser could be opened here: open it within a minute; it works once")
    return 0


def has_screen(environ: Mapping[str, str]) -> bool:
    """Whether a browser would have a window of its own, and not this terminal."""
    return sys.platform == "darwin" or any(
        environ.get(one) for one in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")
    )


def _opened(url: str) -> bool:
    """Open it by a process of its own: browsers print much, and some do not return."""
    quiet = subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, "-c", _OPEN, url], stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True
    )
    try:
        return process.wait(_OPEN_SECONDS) == 0
    except subprocess.TimeoutExpired:
        return True
