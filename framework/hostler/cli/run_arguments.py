"""What can be wrong with a call of `hostler run`, told before anything is started."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import click

from hostler.files.bounded_read import STDIN
from hostler.model.choices import InputMode, Kind
from hostler.model.graph import refuse_unset, started
from hostler.model.spec import Configuration, ServerSpec

NOT_FOUND, NOT_EXECUTABLE = 127, 126


def check_call(
    configuration: Configuration, file: Path, names: tuple[str, ...], words: list[str] | None
) -> None:
    """Raise click.UsageError, or InvalidConfiguration, for what cannot be started."""
    unknown = [name for name in names if name not in configuration.servers]
    if unknown:
        raise click.UsageError(
            f"no server {unknown[0]!r} in {file}; there are: {', '.join(configuration.servers)}"
        )
    if not configuration.servers:
        raise click.UsageError(f"{file} has templates alone; write a table [servers.NAME] to run one")

    refuse_unset(configuration.servers, names)

    if words == []:
        raise click.UsageError('a command must follow "--"')

    servers = [configuration.servers[name] for name in started(configuration.servers, names)]

    if str(file) == STDIN:
        _check_input(servers, "hostler itself")

    if words is not None:
        _check_input(servers, words[0])
        _check_program(servers, words[0])


def _check_program(servers: Sequence[ServerSpec], program: str) -> None:
    """End as a shell would for a program that is not there; a task may be what builds it, at a path."""
    from shutil import which  # noqa: PLC0415 - only who has a command needs it

    is_path = "/" in program
    if which(program) is not None or (is_path and any(server.kind is Kind.TASK for server in servers)):
        return
    exists = is_path and Path(program).exists()
    click.echo(f"{program}: {'Permission denied' if exists else 'no such program'}", err=True)
    raise SystemExit(NOT_EXECUTABLE if exists else NOT_FOUND)


def _check_input(servers: Sequence[ServerSpec], program: str) -> None:
    for server in servers:
        if server.stdin is InputMode.INHERIT:
            raise click.UsageError(
                f'{server.name} (stdin = "inherit") and {program} cannot read the same input'
            )
