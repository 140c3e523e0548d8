"""`hostler run`: keep the servers of a configuration up in the foreground."""

from __future__ import annotations

import asyncio
from pathlib import Path

import click

from hostler.cli.arguments import file_argument
from hostler.config import load


@click.command("run")
@file_argument
@click.argument("names", nargs=-1)
@click.option(
    "--debug", is_flag=True, help="Show all output of the servers, and their environment (secrets masked)."
)
@click.option("--quiet", is_flag=True, help="Show failures only.")
@click.option("--json", "as_json", is_flag=True, help="Print one event per line as JSON, for programs.")
@click.pass_obj
def command(
    words: list[str] | None, file: Path, names: tuple[str, ...], debug: bool, quiet: bool, as_json: bool
) -> None:
    """Keep the servers of FILE (./hostler.toml by default; only NAMES and what they need) up until Ctrl-C.

    With "-- CMD ARGS" at the end, CMD is run when all are ready, with OPENCODE_SERVER and the like in
    its environment; then all are stopped, and hostler ends with CMD's exit code.

    The first Ctrl-C stops the servers in order, the second kills them. When nobody reads the output
    any more (`hostler run | head`), the servers are stopped in order too, and the exit code is 1.
    """
    configuration = load(file)
    unknown = [name for name in names if name not in configuration.servers]

    if unknown:
        raise click.UsageError(
            f"no server {unknown[0]!r} in {file}; there are: {', '.join(configuration.servers)}"
        )

    if words == []:
        raise click.UsageError('a command must follow "--"')

    from hostler.cli.foreground import Foreground  # noqa: PLC0415 - the engine is imported when it is needed
    from hostler.cli.views import make_view  # noqa: PLC0415

    view = make_view(
        configuration, debug=debug, quiet=quiet, as_json=as_json, beside_command=words is not None
    )
    foreground = Foreground(configuration, names, view, debug=debug)
    raise SystemExit(asyncio.run(foreground.run(words)))
