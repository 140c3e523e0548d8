"""`hostler service uninstall`: ends the service, and removes its file."""

from __future__ import annotations

import click

from hostler.cli.client.daemon import ClientError
from hostler.cli.service_files.commands import as_line, state_of
from hostler.cli.service_files.commands import call as call_manager
from hostler.cli.service_files.file import is_ours, read, remove
from hostler.cli.service_files.options import ServiceCall, service_options


@click.command("uninstall")
@click.option("--no-stop", is_flag=True, help="Remove the file only; print the commands that are left.")
@service_options
def command(call: ServiceCall, no_stop: bool) -> int:
    """End the service of FILE (./hostler.toml by default) and its servers, and remove its file.

    A file that `hostler service install` has not written stays (exit code 1). Without a service the exit
    code is 3.
    """
    text = read(call.path)
    if text is None:
        raise ClientError("not_installed", f"there is no service {call.path}")
    if not is_ours(text):
        raise ClientError("not_ours", f"{call.path} stays: hostler has not written it")
    if not call.manager.belongs(text, call.service):
        raise ClientError("not_ours", f"{call.path} stays: it is of another configuration")

    left = [call.manager.disable(call.service), *call.manager.forget(call.service)]
    if not no_stop:
        _end(call)
    remove(call.path)
    if not no_stop:
        call_manager(call.manager, call.manager.forget(call.service))
    answer = f"{call.service.name}: removed: {call.path}"
    answer += f"\nnext: {as_line(left)}" if no_stop else ""
    call.output.answer(call.facts() | {"next": as_line(left) if no_stop else None}, answer)
    return 0


def _end(call: ServiceCall) -> None:
    try:
        state = state_of(call.manager, call.service)
    except ClientError as error:
        error.problem["hint"] = "nothing was removed; --no-stop removes the file alone"
        raise
    if call.manager.may_repeat or state != "inactive":
        call_manager(call.manager, [call.manager.disable(call.service)])
