"""Calls of the commands in `local_commands`: read, carried out, and their errors as exit codes."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib import import_module

from hostler.cli.command_line import Usage, read_call, usage
from hostler.cli.late_modules import import_late, import_msgspec
from hostler.cli.local_commands import LOCAL_COMMANDS
from hostler.cli.safe_streams import prepare_streams, write_line

FAILED, BAD_CALL = 1, 2


def call(name: str, words: Sequence[str]) -> int:
    """Run one command; its exit code."""
    prepare_streams()
    import_late()
    import_msgspec()
    from hostler.errors import InvalidConfiguration, ServerError  # noqa: PLC0415 - pathlib is imported late

    command = LOCAL_COMMANDS[name]
    try:
        arguments = read_call(command, words)
        code: int = import_module(f"hostler.cli.{name}").run(arguments)
    except Usage as error:
        write_line(sys.stderr, usage(command, error))
        return BAD_CALL
    except ServerError as error:
        write_line(sys.stderr, str(error))
        return BAD_CALL if isinstance(error, InvalidConfiguration) else FAILED
    return code
