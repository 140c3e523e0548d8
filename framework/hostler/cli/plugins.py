"""`hostler plugins`: what is installed, a new one, and whether one keeps its promises."""

from __future__ import annotations

import click

from hostler.cli.lazy_group import LazyGroup

_MODULES = {"show": "plugins_show", "new": "plugins_new", "check": "plugins_check"}


class PluginCommands(LazyGroup):
    """The commands by name; whatever is no command is the name of a plugin to show."""

    modules = _MODULES

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """`hostler plugins NAME` is `hostler plugins show NAME`."""
        return super().resolve_command(ctx, args if args[0] in _MODULES else ["show", *args])


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
