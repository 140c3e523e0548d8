"""`hostler plugins show`: what is installed, and its options."""

from __future__ import annotations

import click

from hostler.cli.import_deadline import bounded_imports
from hostler.errors import ServerError
from hostler.model.spec import PluginSpec
from hostler.plugins.describe import PluginDescription, describe
from hostler.plugins.discovery import installed
from hostler.plugins.messages import did_you_mean


@click.command("show")
@click.argument("names", nargs=-1)
def command(names: tuple[str, ...] = ()) -> None:
    """Show the installed plugins (or those NAMES): version, hooks, options with defaults and meaning."""
    there = installed()
    unknown = next((name for name in names if name not in there), None)
    if unknown is not None:
        proposal = did_you_mean(unknown, [*there, "show", "new", "check"])
        raise click.UsageError(
            f'no plugin "{unknown}" is installed{proposal or "; there are: " + ", ".join(there)}'
        )

    for name in names or there:
        try:
            with bounded_imports():
                page = _page(describe(PluginSpec(name)))
        except ServerError as error:
            if names:
                raise
            # The others are still worth showing.
            click.echo(f"{name}\n  cannot be used: {error}\n", err=True)
        else:
            click.echo(page)


def _page(plugin: PluginDescription) -> str:
    lines = [f"{plugin.name} {plugin.version}".rstrip(), f"  {plugin.summary}"]
    lines.append(f"  hooks: {', '.join(plugin.hooks)}")
    for option in plugin.options:
        value = f"= {option.default}  ({option.type})" if option.default else f"({option.type}, required)"
        lines.append(f"  {option.name} {value}\n      {option.meaning}")
    return "\n".join(lines) + "\n"
