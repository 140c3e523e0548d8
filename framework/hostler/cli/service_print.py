"""`hostler service print`: the file of the service."""

from __future__ import annotations

import click

from hostler.cli.service_files.options import ServiceCall, service_options


@click.command("print")
@service_options
def command(call: ServiceCall) -> int:
    """Print the unit of systemd, or the property list of launchd, that runs FILE (./hostler.toml by default).

    Nothing is written. Its paths are absolute, and the Python is the one that runs this command.
    """
    known = call.check()
    text = call.manager.text(call.service)
    call.output.answer(call.facts() | known | {"text": text}, text.rstrip("\n"))
    return 0
