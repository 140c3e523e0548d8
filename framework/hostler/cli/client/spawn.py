"""Starting a hostler in the background, and hearing whether it listens."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from io import FileIO
from typing import Any

from hostler.cli.client.daemon import BAD_CALL, FAILED, ClientError, Deadline
from hostler.cli.client.rows import Row
from hostler.control.location import data_directory, locate_namespace
from hostler.files.namespace import data_folder, namespace_of

_SOON = 0.5  # seconds, in which many a server is ready; after that HTTP tells
_LOG_LINES = 20


class _Background(subprocess.Popen[bytes]):
    """A process that goes on when we have ended, which is no mistake to warn of."""

    def __del__(self) -> None:
        pass


def spawn(words: Sequence[str], file: str, deadline: Deadline, *, waits: bool = False) -> list[Row] | None:
    """Start a hostler; its servers, where somebody waits for them and they are ready at once, else [].

    None when another one has the configuration. Raises ClientError.
    """
    log = _open_log(file)
    reading, writing = os.pipe()
    with open(log, "ab") as out, FileIO(reading) as reports:
        begin = out.tell()
        child = _Background(
            _argv(words, file, log, writing),
            stdin=subprocess.DEVNULL,
            stdout=out,
            stderr=out,
            cwd="/",
            start_new_session=True,
            pass_fds=[writing],
        )
        os.close(writing)
        report, rest = _next_report(reports, deadline.left)
        if report is None:
            raise _still_starting(child.pid, log, deadline)
        if "pid" in report:
            soon = min(_SOON, _SOON if deadline.left is None else deadline.left)
            later = (_next_report(reports, soon, rest)[0] or {}) if waits else {}
            return list(later.get("servers", []))
    if report.get("exists"):
        return None
    raise _ended(child.wait(), _failure(report, log, begin), log)


def _ended(code: int, detail: str, log: str) -> ClientError:
    usage, _, mistake = detail.partition("\n\nError: ")
    if code == BAD_CALL and usage.startswith("Usage: "):  # of `hostler run`, which nobody has called
        return ClientError("invalid_request", mistake, log=log)
    kind = "invalid_configuration" if code == BAD_CALL else "failed"
    return ClientError(kind, detail, code if code > 0 else FAILED, log=log)


def _still_starting(pid: int, log: str, deadline: Deadline) -> ClientError:
    detail = f"the hostler (pid {pid}) does not listen after {deadline.seconds:g} s"
    hint = f"it still reads the configuration and imports plugins, and goes on; its log is {log}"
    return ClientError("timed_out", detail, hint=hint, log=log)


def _argv(words: Sequence[str], file: str, log: str, descriptor: int) -> list[str]:
    """The command of the hostler in the background: this Python imports nothing from the folder we are in."""
    argv = [sys.executable, "-P", "-m", "hostler.cli", "run", file]
    shown = ["--output", "none", "--log-format", "text"]  # that of the words comes later, so it holds
    return [*argv, *shown, "--background", str(descriptor), "--log", log, *words]


def _next_report(
    reports: FileIO, seconds: float | None, data: bytes = b""
) -> tuple[dict[str, Any] | None, bytes]:
    """The next line that the hostler reports, and what came behind it. `data` is what came before.

    Empty where none comes any more, None when it takes too long.
    """
    end = None if seconds is None else time.monotonic() + seconds
    while b"\n" not in data:
        left = None if end is None else max(0.0, end - time.monotonic())
        if not select.select([reports], [], [], left)[0]:
            return None, data
        piece = reports.read(65_536)
        if not piece:
            return {}, b""
        data += piece
    line, _, rest = data.partition(b"\n")
    with suppress(ValueError):
        value = json.loads(line)
        if isinstance(value, dict):
            return value, rest
    return {}, rest


def _failure(report: dict[str, Any], log: str, begin: int) -> str:
    """Why the hostler has ended: as it reported, or by the last lines that it wrote."""
    error = str(report.get("error", ""))
    with open(log, encoding="utf-8", errors="replace") as file:
        file.seek(begin)
        lines = file.read().rstrip().splitlines()[-_LOG_LINES:]
    # Most often its log has the same, as one line.
    own = " ".join(error.split())
    text = "\n".join([error, *(line for line in lines if not error or not line.endswith(own))]).strip()
    return text or f"the hostler in the background has ended; its log is {log}"


def _open_log(file: str) -> str:
    """The path of the log of the hostler in the background; what has grown large is rotated first."""
    from hostler.cli import daemon_log  # noqa: PLC0415 - only where a hostler is started

    log = os.path.join(_log_folder(file), "daemon.log")
    with suppress(FileNotFoundError):
        if os.path.getsize(log) >= daemon_log.LARGEST:
            daemon_log.shift(log)
    os.close(daemon_log.open_log(log))
    return log


def _log_folder(file: str) -> str:
    """The folder of the logs, made where it is missing, and ours alone. Raises ClientError."""
    from hostler.process.disk.trusted_folder import writable_folder  # noqa: PLC0415 - as above

    name = data_folder(locate_namespace(file, os.environ))
    folder = os.path.join(data_directory(os.environ), name)
    if os.path.isabs(folder):
        with suppress(OSError), writable_folder(folder):
            return folder

    # Once more for the error that says why: this takes a tenth of the whole call.
    from hostler.errors import ServerError  # noqa: PLC0415
    from hostler.process.disk.directories import Directories, secure_directory  # noqa: PLC0415

    try:
        own = Directories.default()
        return str(secure_directory(own.data_for(namespace_of(file, own.state, own.data))))
    except ServerError as error:
        raise ClientError("failed", error.message, hint=error.context.hint) from None
