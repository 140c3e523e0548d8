"""`hostler up`: start a hostler in the background, or have the one that is there reload."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

from hostler.cli.client.daemon import (
    ClientError,
    Daemon,
    Deadline,
    deadline_of,
    find_daemon,
    not_running_error,
)
from hostler.cli.client.environment import explained, variables_for
from hostler.cli.client.output import Output
from hostler.cli.client.rows import Row, is_fine, rows_to_wait_for, table
from hostler.cli.client.spawn import spawn
from hostler.cli.command_line import Arguments, file_words
from hostler.control.location import locate
from hostler.files.namespace import named_namespace

_ENDING = {"shutting_down", "not_running"}
LOG = ("log-format", "log-level")
"""How the log of the hostler in the background is written."""

_FOR_A_NEW_ONE = ("profile", "set", "idle-exit", *LOG)


def run(arguments: Arguments, output: Output) -> int:
    """Have the servers up; the exit code."""
    file = named_namespace(arguments.file)
    if not os.path.isfile(file):
        raise not_running_error(arguments.file)
    deadline = deadline_of(arguments)
    daemon, rows = _obtain(arguments, file, output, deadline)
    if not rows and _waits(arguments):
        rows = _wait(daemon, arguments, deadline)
    show(daemon, arguments.file, rows, output)
    return 0


def _wait(daemon: Daemon, arguments: Arguments, deadline: Deadline) -> list[Row]:
    """The servers when all are ready. Raises ClientError, which says that the hostler goes on."""
    from hostler.cli.client.progress import Waiting  # noqa: PLC0415 - most are ready at once

    try:
        return Waiting(daemon, arguments.names, "ready").run(deadline)
    except ClientError as error:
        hint, where = error.problem.get("hint"), _where(daemon, arguments.file)
        if daemon.lives() and (not hint or "server" in error.problem):  # else it is about the hostler
            error.problem["hint"] = f"{hint}; {where}" if hint else where
        raise


def _waits(arguments: Arguments) -> bool:
    return not (arguments.has("no-wait") or arguments.has("no-start"))


def _obtain(
    arguments: Arguments, file: str, output: Output, deadline: Deadline
) -> tuple[Daemon, Sequence[Row]]:
    """The hostler that has the configuration: a new one, or the one that is there, which reloads.

    With the servers of a new one, where they are ready already. One that is about to end is waited for.
    Raises ClientError.
    """
    while True:
        daemon = find_daemon(arguments)
        if daemon is None:
            rows = spawn(words_of(arguments), file, deadline, waits=_waits(arguments))
            if rows is not None:
                there = Daemon(locate(file, os.environ), arguments.text("socket"))
                return there, rows_to_wait_for(rows, arguments.names) if rows else []
        # Where it was not there before, another `up` was faster.
        daemon = daemon or find_daemon(arguments)
        if daemon is None:
            continue
        try:
            _reload(daemon, arguments, output, deadline)
        except ClientError as error:
            if error.kind not in _ENDING or daemon.outlives(deadline):
                raise
        else:
            return daemon, []


def _reload(daemon: Daemon, arguments: Arguments, output: Output, deadline: Deadline) -> None:
    from hostler.cli.output.change_lines import change_lines  # noqa: PLC0415 - only for a reload

    body: dict[str, Any] = {"start": not arguments.names and not arguments.has("no-start")}
    if not arguments.has("keep-environment"):
        body["environment"] = variables_for(daemon)
    try:
        changes = daemon.post("/v1/reload", body, timeout=deadline.left)
    except ClientError as error:
        raise explained(error, body.get("environment", {}), "--keep-environment") from None
    if unused := [f"--{name}" for name in _FOR_A_NEW_ONE if arguments.has(name)]:
        output.note(
            f"{', '.join(unused)}: not applied, a hostler runs already; `hostler down` first would do it"
        )
    if text := "\n".join(change_lines(changes)):
        output.note(text)
    if arguments.names and not arguments.has("no-start"):
        daemon.post("/v1/servers/start", {"names": list(arguments.names), "wait": False})


def show(daemon: Daemon, file: str, rows: Sequence[Row], output: Output) -> None:
    """Print what `up` answers."""
    lines = [table(rows)] if rows else []
    if rows:
        lines.append(f"{sum(map(is_fine, rows))} of {len(rows)} ready.")
    lines.append(_where(daemon, file))
    pid = daemon.location.owner().get("pid")
    output.answer({"pid": pid, "socket": daemon.socket, "servers": list(rows)}, "\n".join(lines))


def _where(daemon: Daemon, file: str) -> str:
    """Where a hostler is, and what shows and ends it."""
    # Who has a terminal has no log.
    where = "is in the background" if daemon.location.describe().get("log") else "runs in the foreground"
    words, pid = file_words(file), daemon.location.owner().get("pid")
    return f"hostler {where} (pid {pid}): hostler ps{words}, hostler down{words}"


def words_of(arguments: Arguments) -> list[str]:
    """The words of `hostler run` that stand for those of `hostler up`: layers, and what is to be started."""
    words = []
    for option in ("profile", "set"):
        for value in arguments.texts(option):
            words += [f"--{option}", value]
    if arguments.has("socket"):
        words += ["--socket", os.path.abspath(arguments.text("socket"))]
    for option in LOG:
        if arguments.has(option):
            words += [f"--{option}", arguments.text(option)]
    if arguments.has("idle-exit"):
        words += ["--idle-exit", str(arguments.seconds("idle-exit") or 0.0)]
    return [*words, *(["--no-start"] if arguments.has("no-start") else arguments.names)]
