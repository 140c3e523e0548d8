"""The command line: one file a command, imported when it is called."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from typing import TextIO

import click

from hostler.errors import InvalidConfiguration, ServerError
from hostler.version import __version__

OK, FAILED, BAD_CONFIGURATION = 0, 1, 2
_COMMANDS = {
    "run": "running",
    "explain": "explain",
    "crashes": "crashes",
    "check": "check",
    "show": "show",
    "plugins": "plugins",
    "schema": "schema",
}


class Commands(click.Group):
    """The commands by name; a module is imported when its command is wanted."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help."""
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        if cmd_name not in _COMMANDS:
            return None

        command = import_module(f"hostler.cli.{_COMMANDS[cmd_name]}").command
        assert isinstance(command, click.Command)
        return command


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hostler", message="%(prog)s %(version)s")
def group() -> None:
    """Keep local servers up: start them, know when they are ready, restart them, leave nothing behind.

    Exit codes: 0 after a wanted stop, 1 when a server failed, 2 for a mistake in the call or in the
    configuration.
    """


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit; what stands after "--" is the command of `hostler run`."""
    _prepare_output()
    _die_of_ctrl_c()
    words = list(sys.argv[1:] if arguments is None else arguments)
    words, command = split_command(words)

    try:
        group.main(words, prog_name="hostler", obj=command)
    except InvalidConfiguration as error:
        click.echo(str(error), err=True)
        sys.exit(BAD_CONFIGURATION)
    except ServerError as error:
        click.echo(str(error), err=True)
        sys.exit(FAILED)


def _prepare_output() -> None:
    """Make sure that there is something to write to, and that no character can be the end of us."""
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _die_of_ctrl_c() -> None:
    """As long as nothing is started, Ctrl-C ends us as it ends any program: at once, without a traceback."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)


def _nowhere() -> TextIO:
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)  # never closed: no warning of it


def split_command(words: Sequence[str]) -> tuple[list[str], list[str] | None]:
    """Split at the first "--"; None where there is none."""
    words = list(words)

    if "--" not in words:
        return words, None

    place = words.index("--")
    return words[:place], words[place + 1 :]
