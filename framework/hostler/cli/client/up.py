"""`hostler up`: start a hostler in the background, or have the one that is there reload."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

from hostler.cli.client.commands import Arguments, file_words
from hostler.cli.client.daemon import FAILED, TIMED_OUT, ClientError, Daemon, Deadline, find, not_running
from hostler.cli.client.environment import explained, plan, variables_for
from hostler.cli.client.output import Output
from hostler.cli.client.progress import Waiting
from hostler.cli.client.rows import Row, is_fine, table
from hostler.control.location import locate
from hostler.files.namespace import named_namespace, namespace_of

_LOG_LINES = 20
_ENDING = {"shutting_down", "not_running"}
_FOR_A_NEW_ONE = ("profile", "set", "idle-exit")


def run(arguments: Arguments, output: Output) -> int:
    """Have the servers up; the exit code."""
    file = named_namespace(arguments.file)
    if not os.path.isfile(file):
        raise not_running(arguments.file)
    deadline = Deadline(arguments.seconds("timeout", "5m"))
    daemon = _obtain(arguments, file, output, deadline)
    rows: list[Row] = []
    if not (arguments.has("no-wait") or arguments.has("no-start")):
        rows = Waiting(daemon, arguments.names, "ready").run(deadline)
    show(daemon, arguments.file, rows, output)
    return 0


def _obtain(arguments: Arguments, file: str, output: Output, deadline: Deadline) -> Daemon:
    """The hostler that has the configuration: a new one, or the one that is there, which reloads.

    One that is about to end is waited for. Raises ClientError.
    """
    while True:
        daemon = find(arguments)
        if daemon is None and spawn(words_of(arguments), file, deadline):
            return Daemon(locate(file, os.environ), arguments.text("socket"))
        # Where it was not there before, another `up` was faster.
        daemon = daemon or find(arguments)
        if daemon is None:
            continue
        try:
            _reload(daemon, arguments, output, deadline)
        except ClientError as error:
            if error.kind not in _ENDING or daemon.outlives(deadline):
                raise
        else:
            return daemon


def _reload(daemon: Daemon, arguments: Arguments, output: Output, deadline: Deadline) -> None:
    body: dict[str, Any] = {"start": not arguments.names and not arguments.has("no-start")}
    if not arguments.has("keep-environment"):
        body["environment"] = variables_for(daemon)
    try:
        changes = daemon.post("/v1/reload", body, timeout=deadline.left)
    except ClientError as error:
        raise explained(error, body.get("environment", {})) from None
    if unused := [f"--{name}" for name in _FOR_A_NEW_ONE if arguments.has(name)]:
        output.note(
            f"{', '.join(unused)}: not applied, a hostler runs already; `hostler down` first would do it"
        )
    if text := plan(changes):
        output.note(text)
    if arguments.names and not arguments.has("no-start"):
        daemon.post("/v1/servers/start", {"names": list(arguments.names), "wait": False})


def show(daemon: Daemon, file: str, rows: Sequence[Row], output: Output) -> None:
    """Print what `up` answers."""
    pid = daemon.location.owner().get("pid")
    lines = [table(rows)] if rows else []
    if rows:
        lines.append(f"{sum(map(is_fine, rows))} of {len(rows)} ready.")
    # Who has a terminal has no log.
    where = "is in the background" if daemon.location.describe().get("log") else "runs in the foreground"
    words = file_words(file)
    lines.append(f"hostler {where} (pid {pid}): hostler ps{words}, hostler down{words}")
    output.answer({"pid": pid, "socket": daemon.socket, "servers": list(rows)}, "\n".join(lines))


def spawn(words: Sequence[str], file: str, deadline: Deadline) -> bool:
    """Start a hostler with these words behind its file; whether it has it, and not another one.

    Raises ClientError.
    """
    log = _open_log(file)
    reading, writing = os.pipe()
    with open(log, "ab") as out, open(reading, encoding="utf-8") as reports:
        begin = out.tell()
        child = subprocess.Popen(
            _argv(words, file, log, writing),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            start_new_session=True,
            pass_fds=[writing],
        )
        os.close(writing)
        if not select.select([reports], [], [], deadline.left)[0]:
            raise _still_starting(child.pid, log, deadline)
        report = _read_report(reports.readline())
    if "pid" in report:
        return True
    if report.get("exists"):
        return False
    code = child.wait()
    raise ClientError(code if code > 0 else FAILED, "failed", _failure(report, log, begin), log=log)


def _still_starting(pid: int, log: str, deadline: Deadline) -> ClientError:
    detail = f"the hostler (pid {pid}) does not listen after {deadline.seconds:g} s"
    hint = f"it still reads the configuration and imports plugins, and goes on; its log is {log}"
    return ClientError(TIMED_OUT, "timed_out", detail, hint=hint, log=log)


def _argv(words: Sequence[str], file: str, log: str, descriptor: int) -> list[str]:
    """The command of the hostler in the background: this Python imports nothing from the folder we are in."""
    argv = [sys.executable, "-P", "-m", "hostler.cli", "run", file]
    return [*argv, "--output", "none", "--background", str(descriptor), "--log", log, *words]


def words_of(arguments: Arguments) -> list[str]:
    """The words of `hostler run` that stand for those of `hostler up`: layers, and what is to be started."""
    words = []
    for option in ("profile", "set"):
        for value in arguments.texts(option):
            words += [f"--{option}", value]
    if arguments.has("socket"):
        words += ["--socket", os.path.abspath(arguments.text("socket"))]
    if arguments.has("idle-exit"):
        words += ["--idle-exit", str(arguments.seconds("idle-exit", "0") or 0.0)]
    return [*words, *(["--no-start"] if arguments.has("no-start") else arguments.names)]


def _read_report(line: str) -> dict[str, Any]:
    with suppress(ValueError):
        value = json.loads(line)
        if isinstance(value, dict):
            return value
    return {}


def _failure(report: dict[str, Any], log: str, begin: int) -> str:
    """Why the hostler has ended: as it reported, or by the last lines that it wrote."""
    error = str(report.get("error", ""))
    with open(log, encoding="utf-8", errors="replace") as file:
        file.seek(begin)
        lines = file.read().rstrip().splitlines()[-_LOG_LINES:]
    text = "\n".join(lines)
    # Most often it has written the same.
    text = text if error in text else f"{error}\n{text}".rstrip()
    return text or f"the hostler in the background has ended; its log is {log}"


def _open_log(file: str) -> str:
    """The path of the log of the hostler in the background; what has grown large is rotated first."""
    from hostler.cli import daemon_log  # noqa: PLC0415 - only where a hostler is started
    from hostler.errors import ServerError  # noqa: PLC0415
    from hostler.process.disk.directories import Directories, secure_directory  # noqa: PLC0415

    try:
        own = Directories.default()
        namespace = namespace_of(file, own.state, own.data)
        log = str(secure_directory(own.data_for(namespace)) / "daemon.log")
    except ServerError as error:
        raise ClientError(FAILED, "failed", error.message, hint=error.context.hint) from None
    with suppress(FileNotFoundError):
        if os.path.getsize(log) >= daemon_log.LARGEST:
            daemon_log.shift(log)
    os.close(daemon_log.open_log(log))
    return log
