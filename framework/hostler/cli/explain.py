"""`hostler explain`: why is this server in the state it is in?"""

from __future__ import annotations

import os
import signal
import sys
import textwrap
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from hostler.cli.arguments import layers_of, select_servers
from hostler.cli.command_line import Arguments
from hostler.cli.formatting import format_duration, format_time
from hostler.cli.safe_streams import write_line
from hostler.control.location import locate
from hostler.events.crash import KEPT, CrashRecord
from hostler.events.crash_words import how_it_ended, spent, what_followed
from hostler.model.states import COMPLETED, State
from hostler.process.disk.directories import Directories
from hostler.process.disk.namespace import resolve_namespace
from hostler.records.inspect import inspect_server
from hostler.text.sanitize import one_line

if TYPE_CHECKING:
    from hostler.records.inspect import ServerInspection
    from hostler.records.status_store import Status

_LINES = 8
_LONGEST_DETAIL = 120  # characters
_MARGIN = " " * 4
_RECENT = timedelta(hours=1)
_TIMES = {1: "once", 2: "twice"}
_SENTENCES = {
    State.RUNNING: "{server} is running: pid {pid} since {since}{at_url}, {by}.",
    State.WAITING_READY: "{server} is not ready yet: pid {pid} was started at {since}, {age} ago "
    "({where}), {by}.",
    State.STARTING: "{server} has been starting since {since}, {by}: a step before its start "
    "(an installation, a server that it needs) is not finished.",
    State.BACKOFF: "{server} has been waiting for its next start since {since}, {by}.",
    State.CRASHED: "{server} has just exited unexpectedly, at {since}, and is being cleaned up, {by}.",
    State.STOPPING: "{server} has been stopping since {since}, {by}.",
}


def run(arguments: Arguments) -> int:
    """Explain one server, or all."""
    names, (configuration, *_) = select_servers(arguments.words, layers_of(arguments))
    directories = Directories.default()
    namespace = resolve_namespace(directories, configuration.namespace or "")
    found = [inspect_server(name, namespace, directories) for name in names]
    paragraphs = []

    for it in found:
        unset = configuration.servers[it.server].unset
        obstacles = [f"A start from here would fail: {problem}" for problem in unset]
        paragraphs.append("\n".join([*explained(it), *obstacles]))

    if configuration.path is not None and not any(it.owner for it in found):
        _tell_if_unsupervised(configuration.path)
    write_line(sys.stdout, "\n\n".join(paragraphs))
    return 0


def _tell_if_unsupervised(file: Path) -> None:
    if not locate(str(file), os.environ).is_held():
        write_line(sys.stderr, f"No hostler supervises {file} now; this is what is on record.")


def explained(it: ServerInspection) -> Iterator[str]:
    """Yield the paragraphs about one server, the most important first."""
    yield " ".join(_state(it))
    crash = it.last_crash
    if crash is not None:
        yield _history(it, crash)
        if _belongs(it, crash):
            yield from _clues(crash)
    if it.status is not None and it.status.log_file is not None:
        yield f"Log file: {it.status.log_file}"


def _belongs(it: ServerInspection, crash: CrashRecord) -> bool:
    """Whether the state is that crash's doing, and not that of a later run or of a command."""
    if it.state is State.BACKOFF or it.status is None:
        return True
    return it.status.state in {State.CRASHED, State.FAILED} and crash.generation >= it.status.generation


# -- the state -------------------------------------------------------------------------------------


def _state(it: ServerInspection) -> Iterator[str]:
    if it.state is not None and it.status is not None:
        yield from _of_status(it, it.status)
    elif it.owner is not None:
        yield f"{it.server} is supervised by hostler (pid {it.owner.pid}), which has not recorded its state."
        if it.alive and it.run is not None:
            yield f"Its process is pid {it.run.pid}{f', at {it.url}' if it.url else ''}."
        else:
            yield "It has no process now."
    elif it.lost and it.status is not None:
        yield from _lost(it, it.status)
    else:
        yield f"{it.server} is stopped: it has not been started yet, as far as hostler knows."


def _of_status(it: ServerInspection, status: Status) -> Iterator[str]:
    if status.state is State.STOPPED:
        yield from _stopped(it, status)
        return
    if status.state is State.FAILED:
        yield from _failed(it, status)
        return

    yield _SENTENCES[status.state].format(
        server=it.server,
        pid=status.pid,
        since=format_time(status.since, it.now),
        age=format_duration((it.now - status.since).total_seconds()),
        at_url=f", at {it.url}" if it.url else "",
        where=f"at {it.url}" if it.url else "without a known address",
        by=f"supervised by hostler (pid {status.supervisor_pid})",
    )

    match status.state:
        case State.RUNNING | State.WAITING_READY:
            if status.health:
                yield f"Health: {'; '.join(status.health)}."
            yield from _details(it, status)
            for hook in status.hooks_out:
                yield f"Disabled until a stop and a start, after three failures in a row: {hook}."
        case State.BACKOFF:
            yield from _next_try(it)
        case State.CRASHED | State.STOPPING if status.reason:
            yield f"The reason: {status.reason}."


def _details(it: ServerInspection, status: Status) -> Iterator[str]:
    """What the health plugins saw when the state was recorded last."""
    for plugin, report in status.reports.items():
        known = [f"{key} {one_line(str(value))[:_LONGEST_DETAIL]}" for key, value in report.details.items()]
        known += [] if report.latency is None else [f"answered in {report.latency * 1000:.0f} ms"]
        if known:
            yield f"{plugin} saw at {format_time(report.time, it.now)}: {', '.join(known)}."


def _stopped(it: ServerInspection, status: Status) -> Iterator[str]:
    since = format_time(status.since, it.now)

    if it.owner is not None:
        yield f"{it.server} has been stopped since {since}; hostler (pid {it.owner.pid}) will start it again."
        return
    if status.reason == COMPLETED:
        yield f"{it.server} has completed, at {since}: it ended with exit code 0."
        yield "It runs again when it is started again."
        return

    yield f"{it.server} has been stopped since {since}: {status.reason or 'a stop was requested'}."
    yield "It has not been started since."


def _failed(it: ServerInspection, status: Status) -> Iterator[str]:
    crash = it.last_crash
    if crash is None or crash.outcome is not State.FAILED or crash.generation != status.generation:
        yield f"{it.server} failed at {format_time(status.since, it.now)}: {status.reason}."
        return
    decision = crash.decision or "it exited unexpectedly"
    decision = f"it {decision}" if decision.startswith("gave up") else decision
    yield f"{it.server} failed at {format_time(status.since, it.now)}: {decision}."
    yield f"The last time: {crash.reason}."
    yield "It has not been started since."


def _lost(it: ServerInspection, status: Status) -> Iterator[str]:
    what = status.state.value.replace("_", " ")
    since = format_time(status.since, it.now)
    yield f"{it.server} is down, though nobody stopped it: it was {what} (since {since})"

    if it.rebooted:
        yield "when the machine went down; the machine has rebooted since."
    elif status.writer_is_alive:
        yield f"when hostler (pid {status.supervisor_pid}) released it."
    else:
        yield f"when its hostler (pid {status.supervisor_pid}) was killed, or ended without recording it."

    if it.alive and it.run is not None:
        yield f"Its process still runs: pid {it.run.pid}; the next start of hostler ends it."


def _next_try(it: ServerInspection) -> Iterator[str]:
    crash = it.last_crash
    if crash is not None and crash.next_try is not None:
        left = (crash.next_try - it.now).total_seconds()
        when = f"in {format_duration(left)}, at {format_time(crash.next_try, it.now)}" if left > 0 else "now"
        yield f"{spent(crash).removesuffix(' used')} are used; the next try is {when}."


# -- how it came to this ---------------------------------------------------------------------------


def _history(it: ServerInspection, last: CrashRecord) -> str:
    recent = sum(it.now - crash.when < _RECENT for crash in it.crashes)
    times = _TIMES.get(recent, f"{recent} times" if recent < KEPT else f"at least {recent} times")
    how = f"{how_it_ended(last)} after {format_duration(last.uptime)}" if last.started else last.reason
    how += f", then {what_followed(last)}"
    what = "exited unexpectedly" if last.started else "could not be started"

    if not recent:
        return f"It last {what} at {format_time(last.when, it.now)}: {how}."

    if any(crash.started for crash in it.crashes):
        what = "exited unexpectedly"

    return f"It {what} {times} in the last hour, the last time at {format_time(last.when, it.now)}: {how}."


def _clues(crash: CrashRecord) -> Iterator[str]:
    notes = [f"{word.plugin}: {word.text}" for word in crash.plugins if word.text != "healthy"]
    if notes:
        yield "The plugins reported:\n" + textwrap.indent("\n".join(notes), _MARGIN)

    name, text = ("stderr", crash.stderr) if crash.stderr.strip() else ("stdout", crash.stdout)
    if text.strip():
        last = "\n".join(text.rstrip().splitlines()[-_LINES:])
        yield f"The last lines of {name} were:\n{textwrap.indent(last, _MARGIN)}"

    if crash.signal == signal.SIGKILL and not crash.killed:
        yield "hostler did not kill it: another process did, or the kernel for lack of memory (see dmesg)."

    if crash.hint:
        yield f"What to do: {crash.hint}."
