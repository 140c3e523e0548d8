"""How `hostler run` shows what happens: to people at a terminal, to people elsewhere, to programs."""

from __future__ import annotations

import sys

from hostler.cli.output.closed_pipe import CarefulView
from hostler.cli.output.jsonlines import JsonView
from hostler.cli.output.plain import PlainView
from hostler.cli.output.view import View
from hostler.cli.safe_streams import unguarded
from hostler.model.spec import Configuration

__all__ = ["CarefulView", "JsonView", "PlainView", "View", "make_view"]


def make_view(
    configuration: Configuration, *, debug: bool, quiet: bool, as_json: bool, beside_command: bool
) -> View:
    """Choose by the options and by where the output goes.

    Beside a command everything goes to stderr: stdout is the command's.
    """
    out = sys.stderr if beside_command else sys.stdout
    if as_json:
        return JsonView(out, debug=debug)
    if out.isatty() and not quiet:
        from hostler.cli.output.terminal import TerminalView  # noqa: PLC0415 - rich is heavy

        return TerminalView(configuration, unguarded(out), debug=debug)
    return PlainView(configuration, out, debug=debug, quiet=quiet)
