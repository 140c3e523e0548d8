"""`hostler run`: supervise the servers of a configuration in the foreground."""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

from hostler.cli.arguments import Layers, layers_of, unknown_server
from hostler.cli.command_line import Arguments, Usage
from hostler.cli.import_deadline import bounded_imports
from hostler.cli.late_modules import tls_in_annotations
from hostler.cli.run_options import ControlChoice, ControlOptions, ViewOptions, control_choice, view_options
from hostler.config.load import load_resolved
from hostler.errors import InvalidConfiguration, Problem
from hostler.files.bounded_read import STDIN
from hostler.model.choices import InputMode, Kind
from hostler.model.graph import require_variables, with_needed
from hostler.model.spec import Configuration, ServerSpec

_LAST_SECONDS = 1.0
_OBJECTS = 100  # a fourth of what a server is made of


def run(arguments: Arguments) -> int:
    """Supervise the servers that the call names until the end of the run."""
    file, names = Path(arguments.file), arguments.names
    layers, shown, control = layers_of(arguments), view_options(arguments), control_choice(arguments)
    if control.log is not None:
        from hostler.cli.daemon_log import keep_bounded  # noqa: PLC0415 - only in the background

        keep_bounded(control.log)
    read = partial(_read, file, layers, control)

    with bounded_imports():
        configuration = read()

    _refuse_bad_call(configuration, file, names, arguments.command, starts=control.starts)

    again = read if configuration.path is not None else partial(_refuse_again, file)
    reached = control.options(configuration, layers)
    return _run(configuration, names, arguments.command, shown, again, reached)


def _run(
    configuration: Configuration,
    names: tuple[str, ...],
    words: Sequence[str] | None,
    shown: ViewOptions,
    again: Callable[[Mapping[str, str]], Configuration],
    reached: ControlOptions | None,
) -> int:
    """Supervise the servers until the end of the run; the exit code."""
    with tls_in_annotations():
        import anyio.streams.tls  # noqa: F401, PLC0415 - with the engine
        from anyio import connect_tcp  # noqa: F401, PLC0415 - it is imported late, and needs ssl, too

    from hostler.cli.output.views import make_view  # noqa: PLC0415 - the engine is imported when it is needed
    from hostler.cli.run_session import RunSession  # noqa: PLC0415

    view = make_view(configuration, shown, has_companion=bool(words))
    with_output = shown.shows_output(has_companion=bool(words))

    async def supervise() -> int:
        session = RunSession(
            configuration, names, words, view, again, with_output=with_output, control=reached
        )
        code = await session.run()
        await _end_other_tasks(code)
        return code

    # What is imported stays, so no later collection needs to look at it; and what hundreds of servers are
    # made of is no garbage: with the usual threshold of 700 it would be looked through again and again.
    gc.freeze()
    gc.set_threshold(max(10_000, _OBJECTS * len(configuration.servers)))
    gc.enable()
    return asyncio.run(supervise())


def _read(
    file: Path, layers: Layers, control: ControlChoice, environ: Mapping[str, str] | None = None
) -> Configuration:
    read = load_resolved(file, **layers, environ=environ)
    if not control.offered or read.configuration.control.socket is False:
        return read.configuration

    from hostler.config.implied_log import with_logs  # noqa: PLC0415 - a run without clients need not have it

    return with_logs(read, in_background=control.background is not None)


def _refuse_again(file: Path, environ: Mapping[str, str]) -> Configuration:
    raise InvalidConfiguration(
        [Problem("", "a configuration from a pipe cannot be read again; use a file", str(file))]
    )


def _refuse_bad_call(
    configuration: Configuration,
    file: Path,
    names: tuple[str, ...],
    words: Sequence[str] | None,
    *,
    starts: bool,
) -> None:
    """Raise Usage, or InvalidConfiguration, for what cannot be started, before anything is."""
    unknown = [name for name in names if name not in configuration.servers]
    if unknown:
        raise unknown_server(unknown[0], file, list(configuration.servers))
    if not configuration.servers:
        raise Usage(f"{file} has only templates; add a table [servers.NAME] to run one")

    if starts:
        require_variables(configuration.servers, names)

    if words is not None and not words:
        raise Usage('a command must follow "--"')

    servers = [configuration.servers[name] for name in with_needed(configuration.servers, names)]

    if str(file) == STDIN:
        _refuse_shared_input(servers, "hostler itself")

    if words is not None:
        from hostler.cli.companion import refuse_missing_program  # noqa: PLC0415

        _refuse_shared_input(servers, words[0])
        refuse_missing_program(words[0], may_be_built=any(one.kind is Kind.TASK for one in servers))


def _refuse_shared_input(servers: Sequence[ServerSpec], program: str) -> None:
    for server in servers:
        if server.stdin is InputMode.INHERIT:
            raise Usage(f'{server.name} (stdin = "inherit") and {program} cannot read the same input')


async def _end_other_tasks(code: int) -> None:
    """Cancel all tasks that plugins have left; end the program at once where one swallows its cancellation.

    asyncio would wait for such a task for ever, and so would Python when it takes it to pieces. All that
    has to be stopped has been stopped by then.
    """
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    if others:
        await asyncio.wait(others, timeout=_LAST_SECONDS)
    if asyncio.all_tasks() - {asyncio.current_task()}:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
