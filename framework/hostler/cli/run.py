"""`hostler run`: supervise the servers of a configuration in the foreground."""

from __future__ import annotations

import asyncio
import gc
from functools import partial
from pathlib import Path

import click

from hostler.cli.arguments import Layers, file_argument, layer_options
from hostler.cli.import_deadline import bounded_imports
from hostler.cli.run_arguments import check_call
from hostler.config.load import load_resolved
from hostler.errors import InvalidConfiguration, Problem
from hostler.model.spec import Configuration


@click.command("run")
@file_argument
@layer_options
@click.argument("names", nargs=-1)
@click.option(
    "--debug", is_flag=True, help="Show all output of the servers, and their environment (secrets masked)."
)
@click.option("--quiet", is_flag=True, help="Show failures only.")
@click.option("--json", "as_json", is_flag=True, help="Print one event per line as JSON, for programs.")
@click.pass_obj
def command(
    words: list[str] | None,
    file: Path,
    names: tuple[str, ...],
    layers: Layers,
    debug: bool,
    quiet: bool,
    as_json: bool,
) -> None:
    """Supervise the servers of FILE (default ./hostler.toml; only NAMES and what they need) until Ctrl-C.

    With "-- CMD ARGS" at the end, CMD is run when all are ready, with OPENCODE_SERVER and the like in
    its environment; then all are stopped, and hostler ends with CMD's exit code. At a terminal Ctrl-C is
    for CMD as long as it runs.

    The first Ctrl-C stops the servers in order, the second kills them. When nobody reads the output
    any more (`hostler run | head`), the servers are stopped in order too, and the exit code is 1.

    SIGHUP reads FILE anew and restarts what has changed; when the terminal is closed, it stops all.
    """
    read = partial(_read, file, layers)

    with bounded_imports():
        configuration = read()

    check_call(configuration, file, names, words)

    from hostler.cli.forced_exit import ending  # noqa: PLC0415
    from hostler.cli.output import make_view  # noqa: PLC0415
    from hostler.cli.run_session import RunSession  # noqa: PLC0415 - the engine is imported when it is needed

    view = make_view(
        configuration, debug=debug, quiet=quiet, as_json=as_json, has_companion=words is not None
    )
    again = read if configuration.path is not None else partial(_refuse_again, file)
    foreground = RunSession(configuration, names, view, again, debug=debug)
    gc.freeze()  # what is imported stays: no later collection needs to look at it
    gc.enable()
    raise SystemExit(asyncio.run(ending(foreground.run(words))))


def _read(file: Path, layers: Layers) -> Configuration:
    """The configuration; what only a server that is not started cannot do without may be missing."""
    return load_resolved(file, **layers)[0]


def _refuse_again(file: Path) -> Configuration:
    raise InvalidConfiguration(
        [Problem("", "what comes through a pipe cannot be read again; a file can", str(file))]
    )
