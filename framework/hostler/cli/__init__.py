"""The command line: one file a command, imported when it is called."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from hostler.cli.inherited_state import start_clean


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; what stands after "--" is the command of `hostler run`."""
    # Before all other imports, so that a Ctrl-C while they last leaves no traceback.
    start_clean()
    # Imports leave no garbage, and looking for it takes a fifteenth of a start.
    gc.disable()
    try:
        from hostler.cli.commands import call  # noqa: PLC0415 - see above

        call(arguments)
    finally:
        gc.enable()
