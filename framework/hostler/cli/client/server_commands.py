"""`hostler start`, `stop` and `restart`: commands to servers of a hostler in the background."""

from __future__ import annotations

from typing import Any

from hostler.cli.client.daemon import ClientError, Deadline, deadline_of, require_daemon
from hostler.cli.client.output import Output
from hostler.cli.client.progress import Waiting
from hostler.cli.client.rows import table
from hostler.cli.command_line import Arguments, Usage


def start(arguments: Arguments, output: Output) -> int:
    """Start servers, and wait until they are ready."""
    return _command(arguments, output, "start", {})


def stop(arguments: Arguments, output: Output) -> int:
    """Stop servers, and wait until nothing of them is left."""
    daemon, names = require_daemon(arguments), _names(arguments)
    body = {"names": names, "force": arguments.has("force"), "wait": not arguments.has("no-wait")}
    seconds = deadline_of(arguments).seconds
    answer = daemon.post("/v1/servers/stop", body | {"timeout": seconds}, timeout=None)
    _show(answer, output)
    return 0


def restart(arguments: Arguments, output: Output) -> int:
    """Restart servers, and wait until they are ready."""
    more: dict[str, Any] = {}
    if arguments.has("when-idle"):
        more = {"when": "idle", "within": arguments.seconds("within", 600.0) or 1e9}
    elif arguments.has("within"):
        raise Usage("--within belongs to --when-idle")
    if arguments.has("generation"):
        text = arguments.text("generation")
        if not text.isdecimal() or len(_names(arguments)) != 1:
            raise Usage("--generation takes the number of a run, and one NAME")
        more["generation"] = int(text)
    return _command(arguments, output, "restart", more)


def _command(arguments: Arguments, output: Output, what: str, more: dict[str, Any]) -> int:
    daemon, names = require_daemon(arguments), _names(arguments)
    deadline = Deadline(patience(arguments, more.get("within", 0.0)))
    waits = not arguments.has("no-wait")
    # A restart in a quiet moment is waited for by the daemon, which alone knows whether it will come.
    idle = waits and more.get("when") == "idle"
    body = {"names": names, "wait": idle, **more}
    try:
        answer = daemon.post(f"/v1/servers/{what}", body, timeout=deadline.left)
    except ClientError as error:
        if error.kind == "not_idle":  # its hint is for programs
            error.problem["hint"] = "allow more time (--within), or leave out --when-idle"
        raise
    if waits and not idle:
        rows = {one["server"]["name"]: one for one in answer["servers"]}
        after = {name: one["server"]["generation"] for name, one in rows.items()} if what == "restart" else {}
        for row in Waiting(daemon, names or list(rows), "ready").run(deadline, after=after):
            rows[row["name"]]["server"] = row
    _show(answer, output)
    return 0


def patience(arguments: Arguments, within: float) -> float | None:
    """How long it may take; where that is not said, the quiet moment has its own time before."""
    seconds = deadline_of(arguments).seconds
    return seconds if seconds is None or arguments.has("timeout") else seconds + within


def _names(arguments: Arguments) -> list[str]:
    if bool(arguments.names) == arguments.has("all"):
        raise Usage("name servers, or use --all")
    return list(arguments.names)


def _show(answer: dict[str, Any], output: Output) -> None:
    output.answer(answer, table(one["server"] for one in answer["servers"]))
