"""`hostler plugins`: shows what is installed, writes a new plugin, and checks one."""

from __future__ import annotations

import click

from hostler.cli.commands import LazyGroup


class PluginCommands(LazyGroup):
    """The commands by name; whatever is no command is the name of a plugin to show."""

    names = ("show", "new", "check")
    module_prefix = "plugins_"

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """`hostler plugins NAME` is `hostler plugins show NAME`."""
        return super().resolve_command(ctx, args if args[0] in self.names else ["show", *args])


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
