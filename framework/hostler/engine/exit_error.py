"""The error of a run that ended by itself: what its end means, as far as it can be seen from outside."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from hostler.engine.run import Run
from hostler.errors import ServerCrashed
from hostler.model.choices import InputMode, Kind
from hostler.model.launch import Launch
from hostler.model.values import Exit
from hostler.process.tree.table import until_settled
from hostler.secrets.credentials import is_secret_name

_SEE = "see its last lines, and its log file where log-rotation is on"
READ_NOTHING = 'set stdin = "open", where it ends because there is nothing to read; see its last lines'
_SOON = 10.0
_FOREGROUND = (
    "run it in the foreground: without &, nohup, setsid or an option such as --daemon (nginx -g "
    "'daemon off;', redis-server --daemonize no, httpd -DFOREGROUND, postgres instead of pg_ctl start)"
)
_MOST_NAMED = 5
_NEAR = 4
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_MISSING = re.compile(
    r"not[ _-]?(set|found|defined|provided|present|given|specified|configured|exist)|unset|unbound|"
    r"undefined|missing|requir|KeyError|environ|\benv\b|\bset\b|must|need|expected|could not|cannot|"
    r"unable|please|empty|no value|provide|resolve",
    re.IGNORECASE,
)
# Every shell has these; a program that lacks one of them has another trouble.
_OF_THE_SHELL = frozenset({"PWD", "OLDPWD", "SHLVL", "PS1", "PS2", "IFS", "EDITOR", "PAGER", "HOSTNAME"})


def error_of(run: Run, exit_: Exit, left: Sequence[int]) -> ServerCrashed:
    """What became of a run, and what to do; `left` are the pids that lived on after its main process."""
    if went_to_background(run, exit_, left):
        return ServerCrashed(in_background(exit_, left), hint=_FOREGROUND, details={"pids": list(left)})

    withheld = [] if run.launch is None else list(_withheld(run.launch, f"{exit_.stdout}\n{exit_.stderr}"))
    see = READ_NOTHING if names_its_input(run, exit_) else _SEE
    hint = f"{_why_unset(run.launch, withheld)}; or {see}" if run.launch and withheld else see
    how = f"{exit_.description} after {exit_.uptime:.1f} s"

    if run.spec.kind is Kind.TASK:
        return ServerCrashed(f"it did not complete: {how}", hint=hint)

    when = "while it ran" if exit_.ready else "before it was ready"
    return ServerCrashed(f"it exited unexpectedly {when}: {how}", hint=hint)


def names_its_input(run: Run, exit_: Exit) -> bool:
    """Whether it has ended in order, has nothing to read, and says something of that at last."""
    unread = run.spec.stdin is InputMode.NULL and exit_.code == 0
    return unread and "stdin" in f"{exit_.stdout}\n{exit_.stderr}".lower()


# -- to the background -----------------------------------------------------------------------------


def left_behind(run: Run) -> tuple[int, ...]:
    """What lives on of the tree after its main process has ended with 0; found however fast it forks."""
    if run.exit_status is not None and run.exit_status.code == 0:
        for _ in until_settled():
            if members := run.members():
                return tuple(members)

    return ()


def went_to_background(run: Run, exit_: Exit, left: Sequence[int]) -> bool:
    """Whether its main process ended well, soon after the start, while others of it lived on."""
    return bool(left) and exit_.code == 0 and (not exit_.ready or run.uptime < _SOON)


def background_notice(exit_: Exit, left: Sequence[int]) -> str:
    """What is said of one that has done its work, though some of it went to the background."""
    return f"{in_background(exit_, left)}; they are ended now. If they are its work, {_FOREGROUND}"


def in_background(exit_: Exit, left: Sequence[int]) -> str:
    """What was seen of a program that went to the background."""
    pids = ", ".join(map(str, left[:_MOST_NAMED])) + (", ..." if len(left) > _MOST_NAMED else "")
    return (
        f"it went to the background: its main process ended with {exit_.description} after "
        f"{exit_.uptime:.1f} s, while others that it had started lived on (pid {pids})"
    )


# -- variables that it misses ----------------------------------------------------------------------


def _withheld(launch: Launch, output: str) -> Iterator[str]:
    """The variables of hostler's environment that it was not given, and whose names it printed as missing."""
    missing = launch.host_env.keys() - launch.env.keys() - _OF_THE_SHELL
    lines = output.splitlines()

    for name in sorted(name for name in missing if len(name) > 2):
        lowered = name.lower() if "_" in name else name  # settings are often told as fields of a class

        for number, line in enumerate(lines):
            words = _WORD.findall(line)
            near = "\n".join(lines[max(number - _NEAR, 0) : number + _NEAR + 1])

            if (name in words or lowered in words) and _MISSING.search(near):
                yield name
                break


def _why_unset(launch: Launch, names: Sequence[str]) -> str:
    """Which variables it did not get although hostler has them, and the lines that hand them on."""
    taken = [name for name in names if name in launch.removed]

    if taken:
        who = launch.removed[taken[0]]
        return f"{', '.join(taken)}: set for hostler, but {who} took it away from the server"

    named = names[:_MOST_NAMED]
    are = "is" if len(named) == 1 else "are"
    lines = ", ".join(_line(name) for name in named)
    return f"{', '.join(named)} {are} set for hostler, but withheld from the server; add to its env: {lines}"


def _line(name: str) -> str:
    return f'{name} = {{ secret = "env:{name}" }}' if is_secret_name(name) else f'{name} = "${{{name}}}"'
