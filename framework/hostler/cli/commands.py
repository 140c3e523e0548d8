"""The commands of the command line, and the exit codes of their mistakes."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module
from io import TextIOWrapper
from keyword import iskeyword
from typing import ClassVar, TextIO

import click

from hostler.cli import OWN_NAMES
from hostler.cli.client.commands import CLIENT_COMMANDS
from hostler.cli.late_modules import import_tls_late
from hostler.cli.safe_streams import safe_stream
from hostler.errors import InvalidConfiguration, ServerError
from hostler.version import __version__

FAILED, BAD_CONFIGURATION = 1, 2


class LazyGroup(click.Group):
    """Commands that are imported when they are called: each is `command` in the module of its name."""

    names: ClassVar[Sequence[str]] = OWN_NAMES
    client_names: ClassVar[Sequence[str]] = ()
    module_prefix: ClassVar[str] = ""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help."""
        return [*self.names, *self.client_names]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        if cmd_name in self.client_names:
            from hostler.cli.client.click_command import click_command  # noqa: PLC0415 - for the help alone

            return click_command(CLIENT_COMMANDS[cmd_name])
        if cmd_name not in self.names:
            return None
        import_tls_late()
        module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name  # import_.py
        command = import_module(f"hostler.cli.{self.module_prefix}{module}").command
        assert isinstance(command, click.Command)
        return command


class HostlerGroup(LazyGroup):
    """All commands, and those that talk to a hostler in the background."""

    client_names = tuple(CLIENT_COMMANDS)


@click.group(cls=HostlerGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hostler", message="%(prog)s %(version)s")
def group() -> None:
    """Supervise local servers: start them, know when they are ready, restart them, leave nothing behind.

    Exit codes: 0 after a requested stop, 1 when a server failed, 2 for a usage error or an invalid
    configuration. Commands for the background: 3 without a hostler there, 4 when the time is over, 5 when
    it cannot be talked to.
    """


def call(arguments: Sequence[str] | None) -> None:
    """Run the command that the arguments name, or those of this process, and exit."""
    _prepare_output()
    words = list(sys.argv[1:] if arguments is None else arguments)
    end = words.index("--") if "--" in words else len(words)
    companion = words[end + 1 :] if "--" in words else None
    try:
        group.main(words[:end], prog_name="hostler", obj=companion)
    except ServerError as error:
        click.echo(str(error), err=True)
        sys.exit(BAD_CONFIGURATION if isinstance(error, InvalidConfiguration) else FAILED)


def _prepare_output() -> None:
    """Have streams to write to; no character in what we write ends us, or steers the terminal."""
    # Python sets them to None where a service manager has closed their descriptors.
    sys.stdout = sys.stdout or _nowhere()
    sys.stderr = sys.stderr or _nowhere()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A title may have characters that the encoding of the terminal does not have.
            stream.reconfigure(errors="backslashreplace")
    sys.stdout, sys.stderr = safe_stream(sys.stdout), safe_stream(sys.stderr)


def _nowhere() -> TextIO:
    # It is never closed, so Python must not warn that it was not.
    return os.fdopen(os.open(os.devnull, os.O_WRONLY), "w", closefd=False)
