"""The options of `hostler run`: what it shows, and how other commands reach it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial, wraps
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from hostler.cli.arguments import Layers
from hostler.errors import InvalidConfiguration, Problem
from hostler.model.spec import Configuration, ControlSpec

if TYPE_CHECKING:
    from hostler.config.show import Shown


class ViewOptions(NamedTuple):
    """What is to be shown of the events and the output of the servers."""

    output: str | None
    debug: bool
    quiet: bool
    as_json: bool
    log_format: str | None = None
    log_level: str | None = None

    @property
    def has_log(self) -> bool:
        """Whether hostler's own log is shown in their place."""
        return self.log_format is not None or self.log_level is not None

    def shows_output(self, *, has_companion: bool) -> bool:
        """Whether the lines of the servers are shown: as chosen, else where nothing else needs the room."""
        if self.output is not None:
            return self.output == "prefixed"
        if self.debug:
            return self.as_json or not self.quiet
        return not (self.quiet or self.as_json or has_companion)


class ControlOptions(NamedTuple):
    """How the run of a configuration can be reached.

    `background` is the descriptor to report to, for a run without a terminal, and `log` the file that its
    messages are in. Where it does not `starts`, no server is started yet. `idle_exit` is after how many
    seconds without a living server and without a client it ends. `show` reads the configuration anew, or one
    server of it, with this environment.
    """

    configuration: Path
    show: Callable[[str | None, Mapping[str, str]], Shown]
    spec: ControlSpec = ControlSpec()
    background: int | None = None
    idle_exit: float | None = None
    log: str | None = None
    starts: bool = True


class ControlChoice(NamedTuple):
    """How the run can be reached; `starts` is false where no server is to be started yet."""

    offered: bool
    socket: str | None
    background: int | None
    idle_exit: float | None
    log: str | None
    starts: bool

    def options(self, configuration: Configuration, layers: Layers) -> ControlOptions | None:
        """The same for one configuration; None where it cannot be reached, as one from a pipe."""
        spec = configuration.control
        if self.socket is not None:
            spec = replace(spec, socket=Path(self.socket).absolute())
        if spec.socket is False and self.background is not None:
            reason = "nothing could reach a hostler in the background; leave it out, or use `hostler run`"
            raise InvalidConfiguration([Problem("control.socket", reason, configuration.path)])
        is_offered = self.offered and spec.socket is not False
        if not is_offered or configuration.path is None or configuration.namespace is None:
            return None
        # By the links that were named: one that is turned over still leads to this hostler.
        path, shown = Path(configuration.namespace), partial(_show, configuration.path, layers)
        return ControlOptions(path, shown, spec, *self[2:])


def _show(path: Path, layers: Layers, server: str | None, environ: Mapping[str, str]) -> Shown:
    from hostler.config.show import show  # noqa: PLC0415 - few runs are asked

    return show(path, server, **layers, environ=environ)


def view_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command `--output`, `--debug`, `--quiet` and `--json`, as its argument `shown`."""

    @click.option(
        "--output",
        type=click.Choice(["prefixed", "none"]),
        help="Whether to show the output of the servers, each line with the name of its server. "
        'Default: prefixed, and none with --quiet, with --json and with "-- CMD".',
    )
    @click.option(
        "--debug",
        is_flag=True,
        help="Show more events, all output, and the environments (secrets masked).",
    )
    @click.option("--quiet", is_flag=True, help="Show failures only.")
    @click.option("--json", "as_json", is_flag=True, help="Print one event per line as JSON, for programs.")
    @click.option(
        "--log-format",
        type=click.Choice(["text", "json"]),
        help="Print a log instead: one line for each decision, with time, level and server.",
    )
    @click.option(
        "--log-level",
        type=click.Choice(["debug", "info", "warning", "error"]),
        help="What the log has. Default: info.",
    )
    @wraps(function)
    def command(*arguments: Any, **options: Any) -> None:
        shown = ViewOptions(*(options.pop(name) for name in ViewOptions._fields))
        if shown.has_log and (shown.debug or shown.quiet or shown.as_json):
            raise click.UsageError("--log-format and --log-level go without --debug, --quiet and --json")
        function(*arguments, shown=shown, **options)

    return command


def control_options(function: Callable[..., None]) -> Callable[..., None]:
    """Give a command the options for its control socket, as its argument `control`."""

    @click.option("--no-control", is_flag=True, help="Have no control socket for `hostler ps` and others.")
    @click.option("--socket", metavar="PATH", help="Have the control socket at PATH.")
    @click.option("--background", type=int, hidden=True)  # the descriptor that `hostler up` reads
    @click.option("--log", hidden=True)
    @click.option("--idle-exit", type=float, hidden=True)
    @click.option("--no-start", is_flag=True, hidden=True)
    @wraps(function)
    def command(
        *arguments: Any,
        no_control: bool,
        socket: str | None,
        background: int | None,
        idle_exit: float | None,
        log: str | None,
        no_start: bool,
        **options: Any,
    ) -> None:
        choice = ControlChoice(not no_control, socket, background, idle_exit, log, not no_start)
        if log is not None:
            from hostler.cli.daemon_log import keep_bounded  # noqa: PLC0415 - only in the background

            keep_bounded(log)
        function(*arguments, control=choice, **options)

    return command
