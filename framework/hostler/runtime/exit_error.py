"""The error of a run that exited by itself: what its exit means, as far as it can be seen from outside."""

from __future__ import annotations

from collections.abc import Sequence

from hostler.errors import ServerCrashed
from hostler.launching.withheld_variables import hint_of_withheld
from hostler.model.choices import InputMode, Kind
from hostler.model.values import Exit
from hostler.process.tree.process_table import until_settled
from hostler.runtime.base_run import Run

_SEE = "see its last lines"
READ_NOTHING = 'set stdin = "open" if it exits because there is nothing to read; see its last lines'
_SOON = 10.0
_FOREGROUND = (
    "run it in the foreground: without &, nohup, setsid or an option such as --daemon (nginx -g "
    "'daemon off;', redis-server --daemonize no, httpd -DFOREGROUND, postgres instead of pg_ctl start)"
)
_MOST_NAMED = 5


def error_of(run: Run, exit_: Exit, left: Sequence[int]) -> ServerCrashed:
    """How a run ended, and what to do, as an error; `left` are the pids that outlived its main process."""
    if went_to_background(run, exit_, left):
        return ServerCrashed(_in_background(exit_, left), hint=_FOREGROUND, details={"pids": list(left)})

    withheld = "" if run.launch is None else hint_of_withheld(run.launch, f"{exit_.stdout}\n{exit_.stderr}")
    log_file = None if run.launch is None else run.launch.log_file
    see = _SEE if log_file is None else f"{_SEE}, and its log file {log_file}"
    see = READ_NOTHING if names_its_input(run, exit_) else see
    hint = f"{withheld}; or {see}" if withheld else see
    how = f"{exit_.description} after {exit_.uptime:.1f} s"

    if run.spec.kind is Kind.TASK:
        return ServerCrashed(f"it did not complete: {how}", hint=hint)

    when = "while it ran" if exit_.ready else "before it was ready"
    return ServerCrashed(f"it exited unexpectedly {when}: {how}", hint=hint)


def names_its_input(run: Run, exit_: Exit) -> bool:
    """Whether it exited with 0, has nothing to read, and its last lines mention that."""
    unread = run.spec.stdin is InputMode.NULL and exit_.code == 0
    return unread and "stdin" in f"{exit_.stdout}\n{exit_.stderr}".lower()


# -- to the background -----------------------------------------------------------------------------


def left_behind(run: Run) -> tuple[int, ...]:
    """What lives on of the tree after its main process has exited with 0; found however fast it forks."""
    if run.exit_status is not None and run.exit_status.code == 0:
        for _ in until_settled():
            if members := run.members():
                return tuple(members)
    return ()


def went_to_background(run: Run, exit_: Exit, left: Sequence[int]) -> bool:
    """Whether its main process exited with 0, soon after the start, while others of its tree lived on."""
    return bool(left) and exit_.code == 0 and (not exit_.ready or run.uptime < _SOON)


def report_background(run: Run, exit_: Exit, left: Sequence[int]) -> None:
    """Warn of processes that a run which has done its work left in the background."""
    if went_to_background(run, exit_, left):
        text = f"{_in_background(exit_, left)}; they are being ended. If they do the work, {_FOREGROUND}"
        run.reporter.notice("went_to_background", text, "warning", {"pids": list(left)})


def how_it_ended(run: Run, exit_: Exit, left: Sequence[int]) -> str:
    """The end of the main process in words, also of one that went to the background."""
    return _in_background(exit_, left) if went_to_background(run, exit_, left) else exit_.description


def _in_background(exit_: Exit, left: Sequence[int]) -> str:
    pids = ", ".join(map(str, left[:_MOST_NAMED])) + (", ..." if len(left) > _MOST_NAMED else "")
    return (
        f"it went to the background: its main process ended with {exit_.description} after "
        f"{exit_.uptime:.1f} s, while processes that it had started are still alive (pid {pids})"
    )
