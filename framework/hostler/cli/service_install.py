"""`hostler service install`: writes the file of the service, and has it run."""

from __future__ import annotations

import os
from collections.abc import Sequence

import click

from hostler.cli.client.daemon import ClientError
from hostler.cli.command_line import file_words
from hostler.cli.service_files.commands import as_line, state_of
from hostler.cli.service_files.commands import call as call_manager
from hostler.cli.service_files.file import is_ours, read, write
from hostler.cli.service_files.options import ServiceCall, service_options
from hostler.control.location import locate

_MODE = 0o644
_OWN_MODE = 0o600  # a value of --set may be for nobody else


@click.command("install")
@click.option("--no-start", is_flag=True, help="Write the file only; print the command that is left.")
@service_options
def command(call: ServiceCall, no_start: bool) -> int:
    """Have systemd or launchd run FILE (./hostler.toml by default), now and at each boot or login.

    It waits until the servers are ready, or were given up. Called again, it writes the file anew. A file
    that it has not written is never overwritten (exit code 1). Where the service manager cannot be talked
    to, the file is written and the exit code is 5.
    """
    known = call.check()
    old = read(call.path)
    if old is not None:
        _refuse_foreign(call, old)
    new = call.manager.text(call.service)
    commands = call.manager.enable(call.service, call.path)

    if no_start:
        _write(call, new)
        _answer(call, known, as_line(commands))
        return 0
    try:
        state = state_of(call.manager, call.service)
    except ClientError as error:
        _write(call, new)
        error.problem["hint"] = f"{call.path} is written; where it can: {as_line(commands)}"
        raise
    _refuse_second(call, state)
    _write(call, new)
    is_there = state not in {"inactive", "failed"}
    if call.manager.may_repeat or not is_there:
        _enable(call, commands)
    changed = is_there and old != new  # what runs is not ended unasked
    _answer(call, known, as_line(call.manager.restart(call.service)) if changed else "")
    return 0


def _enable(call: ServiceCall, commands: Sequence[Sequence[str]]) -> None:
    try:
        call_manager(call.manager, commands)
    except ClientError as error:
        file = file_words(call.service.configuration)
        error.problem["hint"] = f"hostler explain{file} says what is wrong; {error.problem['hint']}"
        raise


def _write(call: ServiceCall, text: str) -> None:
    write(call.path, text, mode=_OWN_MODE if call.service.is_own else _MODE)


def _refuse_foreign(call: ServiceCall, text: str) -> None:
    """Raise ClientError for a file that is not of this service."""
    if not is_ours(text):
        raise ClientError(
            "not_ours",
            f"{call.path} is there already, and hostler has not written it",
            hint="remove it, or choose another --name",
        )
    if not call.manager.belongs(text, call.service):
        raise ClientError(
            "not_ours", f"{call.path} is the service of another configuration", hint="choose another --name"
        )


def _refuse_second(call: ServiceCall, state: str) -> None:
    """Raise ClientError where another hostler has the servers already: the service would fail at once."""
    location = locate(call.service.configuration, os.environ)
    if state in {"inactive", "failed"} and location.is_held():
        pid = location.owner().get("pid")
        file = file_words(call.service.configuration)
        raise ClientError(
            "exists",
            f"a hostler (pid {pid}) supervises {call.service.configuration} already",
            hint=f"hostler down{file}, and then again",
        )


def _answer(call: ServiceCall, known: dict[str, object], left: str) -> None:
    how = "installed" if left else "installed and started"
    text = f"{call.service.name}: {how}: {call.path}"
    known = call.facts() | known | {"next": left or None}
    call.output.answer(known, f"{text}\nnext: {left}" if left else text)
