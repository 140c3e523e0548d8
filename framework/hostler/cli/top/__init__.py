"""`hostler top`: the servers of a hostler, as they are from moment to moment."""

from __future__ import annotations

import gc
import sys
from importlib.util import find_spec

import click

from hostler.cli.command_line import DEFAULT_FILE, configuration_file
from hostler.cli.client.daemon import BAD_CALL, NOT_RUNNING, UNREACHABLE, not_running_error


@click.command("top")
@click.argument("file", default=DEFAULT_FILE, metavar="[FILE]", required=False)
@click.option("--socket", metavar="PATH", help="The control socket, where it is not in its usual place.")
def command(file: str, socket: str | None) -> None:
    """Watch the servers of FILE (./hostler.toml by default) and what they print, and act on them by keys.

    `?` shows the keys. Leaving it (`q`) stops nothing. It needs `pip install 'hostler[top]'`.
    """
    if find_spec("textual") is None:
        _refuse(BAD_CALL, "hostler top needs textual: pip install 'hostler[top]'")
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        _refuse(BAD_CALL, "hostler top needs a terminal; hostler ps shows the servers once")
    file = configuration_file(file)
    _require_hostler(file, socket)
    from hostler.cli.top.app import Top  # noqa: PLC0415 - textual is here alone
    from hostler.client import AsyncClient  # noqa: PLC0415

    app = Top(AsyncClient(file, socket=socket), file)
    gc.freeze()
    gc.enable()  # it was disabled for commands that end soon, and each refresh leaves some garbage
    app.run()
    sys.exit(app.return_code or 0)


def _require_hostler(file: str, socket: str | None) -> None:
    """End with an exit code of the client commands where nobody answers."""
    from hostler.client import Client, NotRunning, Unreachable  # noqa: PLC0415 - `hostler --help` needs none

    try:
        with Client(file, socket=socket) as client:
            client.about()
    except NotRunning as error:
        if socket is None:
            refusal = not_running_error(file)
            _refuse(refusal.code, str(refusal))
        _refuse(NOT_RUNNING, str(error))
    except (Unreachable, TimeoutError) as error:
        _refuse(UNREACHABLE, f"hostler cannot be talked to: {error}")


def _refuse(code: int, text: str) -> None:
    click.echo(text, err=True)
    sys.exit(code)
