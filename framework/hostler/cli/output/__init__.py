"""How `hostler run` shows what happens: to people at a terminal, to people elsewhere, to programs."""

from __future__ import annotations

import sys

from hostler.cli.output.closed_pipe import PipeSafeView
from hostler.cli.output.views import JsonView, PlainView, View
from hostler.cli.safe_streams import unguarded
from hostler.model.spec import Configuration

__all__ = ["JsonView", "PipeSafeView", "PlainView", "View", "make_view"]


def make_view(
    configuration: Configuration, *, debug: bool, quiet: bool, as_json: bool, has_companion: bool
) -> View:
    """Choose by the options and by where the output goes.

    With a companion command everything goes to stderr: stdout is the command's.
    """
    out = sys.stderr if has_companion else sys.stdout
    if as_json:
        return JsonView(out)
    if out.isatty() and not quiet:
        from hostler.cli.output.terminal import TerminalView  # noqa: PLC0415 - rich is heavy

        return TerminalView(configuration, unguarded(out), debug=debug)
    return PlainView(configuration, out, debug=debug, quiet=quiet)
