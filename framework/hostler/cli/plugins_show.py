"""`hostler plugins show`: what is installed, and its options."""

from __future__ import annotations

import click

from hostler.cli.import_deadline import bounded_imports
from hostler.errors import ServerError
from hostler.model.spec import ListenerSpec, PluginSpec
from hostler.plugins.describe import PluginDescription, describe
from hostler.plugins.discovery import installed
from hostler.plugins.messages import did_you_mean


@click.command("show")
@click.argument("names", nargs=-1)
def command(names: tuple[str, ...] = ()) -> None:
    """Show the installed plugins and listeners (or those NAMES): version, hooks, options with meaning."""
    specs = [kind(name) for kind in (PluginSpec, ListenerSpec) for name in installed(kind)]
    there = [spec.name for spec in specs]
    unknown = next((name for name in names if name not in there), None)
    if unknown is not None:
        proposal = did_you_mean(unknown, [*there, "show", "new", "check"])
        raise click.UsageError(
            f'no plugin "{unknown}" is installed{proposal or "; there are: " + ", ".join(there)}'
        )

    for spec in [spec for name in names for spec in specs if spec.name == name] or specs:
        try:
            with bounded_imports():
                page = _page(describe(spec), spec)
        except ServerError as error:
            if names:
                raise
            # The others are still worth showing.
            click.echo(f"{spec.name}\n  cannot be used: {error}\n", err=True)
        else:
            click.echo(page)


def _page(plugin: PluginDescription, spec: PluginSpec) -> str:
    lines = [f"{plugin.name} {plugin.version}".rstrip(), f"  {plugin.summary}"]
    is_listener = isinstance(spec, ListenerSpec)
    lines.append("  a listener, for [listeners]" if is_listener else f"  hooks: {', '.join(plugin.hooks)}")
    for option in plugin.options:
        value = f"= {option.default}  ({option.type})" if option.default else f"({option.type}, required)"
        lines.append(f"  {option.name} {value}\n      {option.meaning}")
    return "\n".join(lines) + "\n"
