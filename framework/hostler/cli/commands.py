"""The commands of the command line, and the exit codes of their mistakes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from keyword import iskeyword
from typing import ClassVar

import click

from hostler.cli import OWN_NAMES
from hostler.cli.client.commands import CLIENT_COMMANDS
from hostler.cli.late_modules import import_late
from hostler.cli.local import BAD_CALL, FAILED
from hostler.cli.local import call as call_local
from hostler.cli.local_commands import LOCAL_COMMANDS
from hostler.cli.safe_streams import prepare_streams
from hostler.errors import InvalidConfiguration, ServerError
from hostler.version import __version__


class LazyGroup(click.Group):
    """Commands that are imported when they are called: each is `command` in the module of its name."""

    names: ClassVar[Sequence[str]]
    module_prefix: ClassVar[str] = ""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """The names, in the order of the help."""
        return list(self.names)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        if cmd_name not in self.names:
            return None
        import_late()
        module = f"{cmd_name}_" if iskeyword(cmd_name) else cmd_name  # import_.py
        command = import_module(f"hostler.cli.{self.module_prefix}{module}").command
        assert isinstance(command, click.Command)
        return command


class HostlerGroup(LazyGroup):
    """All commands, also those that are called without click."""

    names = (*OWN_NAMES, *CLIENT_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of this name, or None."""
        # For the help alone.
        from hostler.cli.client.click_command import click_command  # noqa: PLC0415
        from hostler.cli.client.main import call as call_client  # noqa: PLC0415

        if cmd_name in LOCAL_COMMANDS:
            return click_command(LOCAL_COMMANDS[cmd_name], call_local)
        if cmd_name in CLIENT_COMMANDS:
            return click_command(CLIENT_COMMANDS[cmd_name], call_client)
        return super().get_command(ctx, cmd_name)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command that the first word names; for a wrong word, the error names the likely one."""
        # For a mistake alone.
        from hostler.model.schema.diagnostics import likely  # noqa: PLC0415

        if args[0] not in self.names and (word := likely(args[0], self.names)):
            ctx.fail(f'No such command {args[0]!r}; did you mean "{word}"?')
        return super().resolve_command(ctx, args)


@click.group(cls=HostlerGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="hostler", message="%(prog)s %(version)s")
def group() -> None:
    """Supervise local servers: start them, know when they are ready, restart them, leave nothing behind.

    Exit codes: 0 after a requested stop, 1 when a server failed, 2 for a usage error or an invalid
    configuration. Commands for the background: 3 without a hostler there, 4 when the time is over, 5 when
    it cannot be talked to.
    """


def call(words: Sequence[str]) -> int:
    """Run the command that the words name; its exit code, where click does not exit itself."""
    prepare_streams()
    try:
        # A command is named before "--".
        group.main([] if words[:1] == ["--"] else words, prog_name="hostler")
    except ServerError as error:
        click.echo(str(error), err=True)
        return BAD_CALL if isinstance(error, InvalidConfiguration) else FAILED
