"""`hostler restart-daemon`: the hostler in the background anew, with the same layers and the same servers."""

from __future__ import annotations

import time
from collections.abc import Sequence
from itertools import pairwise

from hostler.cli.client.daemon import (
    TIMED_OUT,
    ClientError,
    Daemon,
    Deadline,
    deadline_of,
    require_daemon,
)
from hostler.cli.client.environment import explained, variables_for
from hostler.cli.client.output import Output
from hostler.cli.client.progress import Waiting, quoted
from hostler.cli.client.rows import Row, standing
from hostler.cli.client.spawn import spawn
from hostler.cli.client.up import LOG, show
from hostler.cli.command_line import Arguments, Usage, file_words
from hostler.files.namespace import named_namespace

_LOOK_SECONDS = 0.5
_LAYERS = ("--profile", "--set")
_OF_THE_RUN = (*_LAYERS, "--socket", "--idle-exit", *(f"--{option}" for option in LOG))


def run(arguments: Arguments, output: Output) -> int:
    """End it, and start it with what it was started with; the exit code."""
    if arguments.has("within") and not arguments.has("when-idle"):
        raise Usage("--within belongs to --when-idle")
    within = Deadline(arguments.seconds("within", 600.0))
    daemon, file = require_daemon(arguments), named_namespace(arguments.file)
    words = _words_of(daemon, arguments)
    removed = _refuse_mistakes(daemon)
    if arguments.has("when-idle"):
        _wait_idle(daemon, within)
    deadline = deadline_of(arguments)
    before = daemon.get("/v1/servers")["servers"]
    gone = {row["name"] for row in before if row["name"] in removed or _was_added(daemon, row)}
    same = [row for row in before if row["name"] not in gone]
    words = _with_servers(words, same, gone)
    _end(daemon, arguments, deadline)
    _begin(words, file, deadline)
    if gone:
        output.note(f"not started anew, as the configuration does not have it: {', '.join(sorted(gone))}")
    anew = require_daemon(arguments)
    if stopped := _stopped(same):  # so that another `up` leaves them so
        anew.post("/v1/servers/stop", {"names": stopped, "wait": False})
    rows: list[Row] = []
    if not arguments.has("no-wait"):
        rows = Waiting(anew, (), "ready").run(deadline)
    show(anew, arguments.file, rows, output)
    return 0


def _words_of(daemon: Daemon, arguments: Arguments) -> list[str]:
    """The words that it was started with. Raises ClientError where it was not started by `hostler up`."""
    words = daemon.location.describe().get("words")
    if isinstance(words, list):
        return [str(word) for word in words]
    file = file_words(arguments.file)
    raise ClientError(
        "invalid_request",
        f"the hostler (pid {daemon.pid}) was not started by `hostler up`, so nobody else can start it anew",
        hint=f"hostler down{file}, and then start it as before, or in the background: hostler up{file}",
    )


def _refuse_mistakes(daemon: Daemon) -> set[str]:
    """Raise ClientError where the new one could not begin, while the old one still runs.

    Returns the servers that were removed from the file since.
    """
    try:
        given = variables_for(daemon)
    except ClientError as error:
        if error.kind != "unsupported":  # one that is older is the reason to call this
            raise
        return set()
    try:
        return set(daemon.post("/v1/reload", {"dry_run": True, "environment": given})["removed"])
    except ClientError as error:
        raise explained(error, given) from None


def _was_added(daemon: Daemon, row: Row) -> bool:
    """Whether a server was added over the API: it is none of the file, and ends with its hostler."""
    if row["template"] is None:
        return False
    try:
        daemon.get(f"/v1/servers/{quoted(row['name'])}/configuration")
    except ClientError as error:
        return error.kind == "not_found"
    return False


def _wait_idle(daemon: Daemon, within: Deadline) -> None:
    """Wait until nothing runs on any server that can tell. Raises ClientError."""
    telling: set[str] = set()
    while busy := _busy(daemon, telling):
        if within.is_over():
            name, running = busy
            raise ClientError(
                "not_idle",
                f"it was not idle within {within.seconds:g} s, so nothing was restarted; running: {running}",
                server=name,
                hint="allow more time (--within), or leave out --when-idle",
            )
        time.sleep(_LOOK_SECONDS)
    if not telling:
        text = "no server that runs tells what runs on it, so no quiet moment is known"
        raise ClientError("not_idle", text, hint="leave out --when-idle")


def _busy(daemon: Daemon, telling: set[str]) -> tuple[str, str] | None:
    """A server on which something runs, and what; those that can tell are gathered in `telling`."""
    for row in daemon.get("/v1/servers")["servers"]:
        if row["state"] == "running":
            work = daemon.get(f"/v1/servers/{quoted(row['name'])}/work")
            if work["idle"] is not None:
                telling.add(row["name"])
            if work["idle"] is False or (work["idle"] is None and row["name"] in telling):
                return row["name"], ", ".join(work["running"] or ["it does not tell what"])
    return None


def _with_servers(words: Sequence[str], rows: Sequence[Row], gone: set[str]) -> list[str]:
    """The same words, with other servers where some were started or stopped since, or are `gone`."""
    up = [row for row in rows if _is_up(row)]
    needed = {name for row in up for name in row["needs"]}
    stopped = [row for row in rows if row["autostart"] and row not in up]
    started = [row for row in up if not row["autostart"] and row["name"] not in needed]
    if not stopped and not started and gone.isdisjoint(words):
        return [*words]
    kept = [word for pair in _options(words, _OF_THE_RUN) for word in pair]
    return [*kept, *([row["name"] for row in up] or ["--no-start"])]


def _is_up(row: Row) -> bool:
    return standing(row).counts and not row.get("stop_asked")


def _stopped(rows: Sequence[Row]) -> list[str]:
    """The servers that have run or were stopped, and are down, as far as none needs them that is up."""
    up = [row for row in rows if _is_up(row)]
    kept = {name for row in up for name in [row["name"], *row["needs"]]}
    touched = [row["name"] for row in rows if row["generation"] or row.get("stop_asked")]
    return [name for name in touched if name not in kept]


def _options(words: Sequence[str], names: Sequence[str]) -> list[tuple[str, str]]:
    return [(name, value) for name, value in pairwise(words) if name in names]


def _end(daemon: Daemon, arguments: Arguments, deadline: Deadline) -> None:
    if not daemon.shut_down(deadline):
        file = file_words(arguments.file)
        raise ClientError(
            "timed_out",
            f"not all is stopped after {deadline.seconds:g} s; it goes on, and nothing is started after it",
            hint=f"hostler down{file} --force kills what is left; then: hostler up{file}",
        )


def _begin(words: Sequence[str], file: str, deadline: Deadline) -> None:
    try:
        spawn(words, file, deadline)
    except ClientError as error:
        if error.code != TIMED_OUT:
            import shlex  # noqa: PLC0415 - only here

            layers = [word for pair in _options(words, _LAYERS) for word in pair]
            error.problem["detail"] = f"the old one has ended, and the new one cannot start:\n{error}"
            error.problem["hint"] = (
                f"repair that, and start it: {shlex.join(['hostler', 'up', file, *layers])}; "
                f"its log is {error.problem.get('log')}"
            )
        raise
