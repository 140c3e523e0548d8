"""The command line: one file a command, imported when it is called."""

from __future__ import annotations

import gc
from collections.abc import Sequence

from hostler.cli.inherited_state import start_clean


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; what stands after "--" is the command of `hostler run`."""
    start_clean()  # before all other imports: a Ctrl-C while they last leaves no traceback
    gc.disable()  # imports leave no garbage; to look for it takes a fifteenth of a start
    try:
        from hostler.cli.commands import call  # noqa: PLC0415 - see above

        call(arguments)
    finally:
        gc.enable()
