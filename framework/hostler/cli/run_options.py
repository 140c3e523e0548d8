"""The options of `hostler run`: what it shows, and how other commands reach it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec import Struct

from hostler.cli.arguments import Layers
from hostler.cli.command_line import Arguments, Usage
from hostler.errors import InvalidConfiguration, Problem
from hostler.model.spec import Configuration, ControlSpec

if TYPE_CHECKING:
    from hostler.config.show import Shown


class ViewOptions(Struct, frozen=True):
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


class ControlOptions(Struct, frozen=True):
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


class ControlChoice(Struct, frozen=True):
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
        more = (self.background, self.idle_exit, self.log, self.starts)
        return ControlOptions(path, shown, spec, *more)


def _show(path: Path, layers: Layers, server: str | None, environ: Mapping[str, str]) -> Shown:
    from hostler.config.show import show  # noqa: PLC0415 - few runs are asked

    return show(path, server, **layers, environ=environ)


def view_options(arguments: Arguments) -> ViewOptions:
    """What a call wants to see. Raises Usage for what excludes each other."""
    shown = ViewOptions(
        arguments.text("output") or None,
        debug=arguments.has("debug"),
        quiet=arguments.has("quiet"),
        as_json=arguments.has("json"),
        log_format=arguments.text("log-format") or None,
        log_level=arguments.text("log-level") or None,
    )
    if shown.has_log and (shown.debug or shown.quiet or shown.as_json):
        raise Usage("--log-format and --log-level go without --debug, --quiet and --json")
    return shown


def control_choice(arguments: Arguments) -> ControlChoice:
    """How a call wants its run to be reached."""
    background = _number(arguments, "background")
    return ControlChoice(
        offered=not arguments.has("no-control"),
        socket=arguments.text("socket") or None,
        background=None if background is None else int(background),
        idle_exit=_number(arguments, "idle-exit"),
        log=arguments.text("log") or None,
        starts=not arguments.has("no-start"),
    )


def _number(arguments: Arguments, option: str) -> float | None:
    text = arguments.text(option)
    try:
        return float(text) if text else None
    except ValueError:
        hint = "hostler up is what runs in the background"
        raise Usage(f"--{option} takes a number, found {text!r}; {hint}") from None
