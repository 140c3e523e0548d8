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
LOCAL_NAMES = ("run", "explain", "check")
NO_FOLDER = "the folder that this shell is in was removed: change to another one"


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
    # Imports leave no garbage, and looking for it takes a fifteenth of a start.
    gc.disable()
    try:
        code = _call(words)
    except BrokenPipeError:  # who has closed the pipe wants to read no more
        code = 1
    except OSError as error:
        if error.filename:  # else it is of os.getcwd(), or of what we print
            raise
        from hostler.cli.safe_streams import discard  # noqa: PLC0415 - for errors alone

        discard(sys.stdout)
        sys.exit(NO_FOLDER if isinstance(error, FileNotFoundError) else error.strerror)
    finally:
        # At its end Python looks through all that is there for garbage, which takes a tenth of a short call.
        gc.freeze()
        gc.enable()
    raise SystemExit(code)


def _call(words: Sequence[str]) -> int:
    """Run the command that the words name; its exit code.

    Few need click, whose import takes a tenth of a short call.
    """
    name = None if _asks_for_help(words) else next(iter(words), None)
    if name in CLIENT_NAMES:
        from hostler.cli.client.main import call as call_client  # noqa: PLC0415 - nor the engine

        return call_client(name, words[1:])
    if name in LOCAL_NAMES:
        from hostler.cli.local import call as call_local  # noqa: PLC0415

        return call_local(name, words[1:])
    from hostler.cli.commands import call  # noqa: PLC0415 - see above

    return call(words)
