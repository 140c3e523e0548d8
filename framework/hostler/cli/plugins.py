"""`hostler plugins`: what is installed, a new one, and whether one keeps its promises."""

from __future__ import annotations

from importlib import import_module

import click

_COMMANDS = {"show": "plugins_show", "new": "plugins_new", "check": "plugins_check"}


class PluginCommands(click.Group):
    """The commands by name; whatever is no command is the name of a plugin to show."""

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

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """`hostler plugins NAME` is `hostler plugins show NAME`."""
        return super().resolve_command(ctx, args if args[0] in _COMMANDS else ["show", *args])


@click.group(
    "plugins",
    cls=PluginCommands,
    invoke_without_command=True,
    subcommand_metavar="[NAMES]... | COMMAND [ARGS]...",
)
@click.pass_context
def command(context: click.Context) -> None:
    """Show the installed plugins (or those NAMES), write a new one, or check one."""
    if context.invoked_subcommand is None:
        show = command.get_command(context, "show")
        assert show is not None
        context.invoke(show)
