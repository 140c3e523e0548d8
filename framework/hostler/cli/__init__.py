"""The command line: one file a command, imported when it is called."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Sequence

from hostler.cli.inherited_state import start_clean

OWN_NAMES = (
    *("run", "explain", "crashes", "check", "show", "plugins", "schema", "init", "import"),
    *("service", "top"),
)
# By hand, as the table of these commands has more than most calls need; a test compares the two.
CLIENT_NAMES = (
    *("up", "down", "restart-daemon", "ps", "start", "stop", "restart", "wait"),
    *("url", "dashboard", "exec", "logs", "events"),
)


def _asks_for_help(words: Sequence[str]) -> bool:
    own = words[: words.index("--")] if "--" in words else words
    return "-h" in own or "--help" in own


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; what stands after "--" is the command of `hostler run`."""
    # Before all other imports, so that a Ctrl-C while they last leaves no traceback.
    start_clean()
    if arguments is None and "_HOSTLER_COMPLETE" in os.environ:
        from hostler.cli.client.completion import complete  # noqa: PLC0415 - a shell asks

        if complete(os.environ, OWN_NAMES):
            return
    words = sys.argv[1:] if arguments is None else list(arguments)
    if words[:1] and words[0] in CLIENT_NAMES and not _asks_for_help(words):
        gc.disable()
        from hostler.cli.client.main import call as call_client  # noqa: PLC0415 - neither click nor the engine

        code = call_client(words[0], words[1:])
        gc.freeze()  # see below
        gc.enable()
        raise SystemExit(code)
    # Imports leave no garbage, and looking for it takes a fifteenth of a start.
    gc.disable()
    try:
        from hostler.cli.commands import call  # noqa: PLC0415 - see above

        call(arguments)
    finally:
        # At its end Python looks through all that is there for garbage, which takes a tenth of a short call.
        gc.freeze()
        gc.enable()
