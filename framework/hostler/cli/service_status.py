"""`hostler service status`: whether there is a service, and how it is."""

from __future__ import annotations

import click

from hostler.cli.client.daemon import FAILED, NOT_RUNNING, ClientError
from hostler.cli.service_files.commands import state_of
from hostler.cli.service_files.file import is_ours, is_same, read
from hostler.cli.service_files.options import ServiceCall, service_options


@click.command("status")
@service_options
def command(call: ServiceCall) -> int:
    """Show whether FILE (./hostler.toml by default) has a service, and whether it runs.

    Exit code 0 when it is active and its file is as it would be written now; 1 otherwise, 3 when it is not
    installed, 5 when the service manager cannot be talked to.
    """
    text = read(call.path)
    facts = call.facts() | {"installed": text is not None, "current": None, "state": None}
    if text is None:
        call.output.answer(facts, f"{call.service.name}: not installed ({call.path})")
        return NOT_RUNNING
    facts["current"] = current = _is_current(call, text)
    try:
        facts["state"] = state = state_of(call.manager, call.service)
    except ClientError as error:
        call.output.refusal(error, facts, _page(call, text, "unknown"))
        return error.code
    call.output.answer(facts, _page(call, text, state))
    return 0 if current and state == "active" else FAILED


def _is_current(call: ServiceCall, text: str) -> bool:
    """Whether the file is as it would be written; with its own --profile and --set where none are named."""
    new = call.manager.text(call.service)
    if not call.profiles and not call.settings:
        text, new = (call.manager.without_options(one, call.service) for one in (text, new))
    return is_same(text, new)


def _page(call: ServiceCall, text: str, state: str) -> str:
    if not is_ours(text):
        file = "not written by hostler"
    elif not call.manager.belongs(text, call.service):
        file = "of another configuration; choose another --name"
    elif _is_current(call, text):
        file = "as it would be written now"
    else:
        how = "`hostler service install` writes it anew, with the options that you give it"
        file = f"not as it would be written now; {how}"
    return f"{call.service.name}: {state}\n  {call.path}: {file}"
