"""`hostler service`: hostler as a service of systemd or launchd."""

from __future__ import annotations

import click

from hostler.cli.commands import LazyGroup


class ServiceCommands(LazyGroup):
    """The commands by name."""

    names = ("print", "install", "uninstall", "status")
    module_prefix = "service_"


@click.group("service", cls=ServiceCommands)
def command() -> None:
    """Have systemd or launchd run hostler: at boot, or with --user when you log in."""
