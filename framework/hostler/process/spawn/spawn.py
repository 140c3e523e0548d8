"""Starting a child: one synchronous step from a launch to a process that is watched."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from pathlib import Path
from typing import TypeAlias

from hostler.errors import EnvironmentSetupFailed, ProcessSpawnFailed, ServerError
from hostler.files.run_as import run_as
from hostler.model.choices import InputMode, OutputMode
from hostler.model.launch import Launch
from hostler.process.shortage_hint import shortage_hint
from hostler.process.spawn.cgroups import join
from hostler.process.spawn.environment import MARKER, steers_programs
from hostler.process.spawn.executable import find_program
from hostler.process.spawn.exits import Process
from hostler.process.spawn.privileges import Account, Prefix, build_prefix, find_account, limit_prefix
from hostler.process.tree.procfs import doubt
from hostler.process.tree.run_mark import lent_mark, mark_option, mark_process, may_lend

_TEMPORARY = {errno.EAGAIN, errno.ENOMEM, errno.EMFILE, errno.ENFILE, errno.ETXTBSY, errno.EINTR, errno.EIO}
_ENV = "/usr/bin/env"
_ACCESS_SECONDS = 10.0  # a disk that hangs, or its user does not let it end

Popen: TypeAlias = Callable[..., "subprocess.Popen[bytes]"]
"""What starts a child: called as subprocess.Popen, with numbers as its streams."""


def spawn(
    launch: Launch,
    *,
    run_id: str,
    stdout_fd: int | None,
    stderr_fd: int | None,
    nofile: str = "",
    popen: Popen = subprocess.Popen,
) -> Process:
    """Start the command of a launch in a session of its own, watched by the running event loop.

    The descriptors are written to where the launch says "capture" and stay open here. The child gets
    exactly `launch.env` and the marker of this run. It dies with the calling thread, where the system
    can do that. `nofile` is the option of prlimit for a limit of open files that is not ours, `popen` starts
    it in the place of subprocess.Popen. Raises ProcessSpawnFailed (`permanent` unless trying again may
    help) and EnvironmentSetupFailed for a user, group or limit that cannot be set.
    """
    # The loop watches the exit: without one nothing is started, rather than a child that nobody reaps.
    asyncio.get_running_loop()
    streams = _output(launch.stdout, stdout_fd, 1), _output(launch.stderr, stderr_fd, 2)
    try:
        mark = mark_option(run_id, launch.limits)
        lends = may_lend()
        argv, prefix = _command(launch, limit_prefix(nofile, "" if lends else mark))
        started = time.monotonic()
        unmarked = bool(mark) and mark not in argv
        with lent_mark(run_id) if unmarked and lends else nullcontext():
            child = _start(argv, launch, run_id, streams, prefix.account, popen)
        if unmarked and not lends:
            mark_process(child.pid, run_id)
        unseen = doubt() if sys.platform == "linux" else ""
        process = Process(child, run_id, started, prefix.missing, unseen, launch.cgroup)
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        raise explain(error, launch.argv[0]) from error
    except ServerError as error:
        program = launch.argv[0] if launch.argv else ""
        error.with_context(details={"program": program, "cwd": str(launch.cwd)})
        raise

    launch.on_fork(process.close_input)
    return process


def _command(launch: Launch, marking: Sequence[str]) -> tuple[list[str], Prefix]:
    """The words to execute, and what stands in front of them."""
    account = find_account(launch.user, launch.group, launch.groups)
    name = launch.argv[0] if launch.argv else ""
    program = find_program(name, cwd=launch.cwd, env=launch.env, account=account)
    if account is not None:
        _check_access(program, launch.cwd, account)

    prefix = build_prefix(launch, account)
    # A group is joined first: as the server's user we may not enter it any more.
    enter = [] if launch.cgroup is None else join(launch.cgroup, launch.env)
    # Variables that steer programs come last: what stands before the command has other rights than it, and
    # may not load what it can write.
    late = [f"{name}={value}" for name, value in launch.env.items() if steers_programs(name)]
    before = [*enter, *marking, *prefix.argv, *launch.wrapper, *([_ENV, *late] if late else [])]
    return [*before, program, *launch.argv[1:]], prefix


def _start(
    argv: list[str],
    launch: Launch,
    run_id: str,
    streams: tuple[int, int],
    account: Account | None,
    popen: Popen,
) -> subprocess.Popen[bytes]:
    """Start the child; `account` is who Popen has to make it, where setpriv is missing."""
    # A hostler inside another's server keeps the outer mark, so that both find the child.
    outer = launch.host_env.get(MARKER)
    env = {name: value for name, value in launch.env.items() if not steers_programs(name)}
    return popen(
        argv,
        cwd=launch.cwd,
        env={**env, MARKER: f"{outer}:{run_id}" if outer else run_id},
        stdin=_input(launch.stdin),
        stdout=streams[0],
        stderr=streams[1],
        start_new_session=True,
        umask=-1 if launch.umask is None else launch.umask,
        user=None if account is None else account.uid,
        group=None if account is None else account.gid,
        extra_groups=None if account is None else account.groups,
    )


def _input(mode: InputMode) -> int:
    if mode is InputMode.OPEN:
        return subprocess.PIPE
    return subprocess.DEVNULL if mode is InputMode.NULL else _inherited(0)


def _output(mode: OutputMode, fd: int | None, own: int) -> int:
    if mode is OutputMode.INHERIT:
        return _inherited(own)
    if mode is OutputMode.IGNORE:
        return subprocess.DEVNULL
    if fd is None:
        raise ValueError("a captured stream needs a descriptor to write to")
    return fd


def _inherited(number: int) -> int:
    # Where ours is closed, the number may be that of a file that Python opened since: not for the child.
    with suppress(OSError):
        if os.get_inheritable(number):
            return number
    return subprocess.DEVNULL


def _check_access(program: str, cwd: Path, account: Account) -> None:
    # As the other user, before the spawn: setpriv would fail in the child's name, with its own message.
    words = ["/bin/sh", "-c", 'cd "$1" || exit 2; test -x "$2"', "sh", str(cwd), program]
    try:
        code = run_as(account.uid, account.gid, account.groups, words, most=0, seconds=_ACCESS_SECONDS)[0]
    except TimeoutError as error:
        raise EnvironmentSetupFailed(
            f"whether user {account.name} may execute {program} was not answered in {_ACCESS_SECONDS:g} s",
            hint=f"see whether its disk hangs, or a process of {account.name} stops it",
        ) from error

    if code:
        action = f"enter {cwd}" if code == 2 else f"execute {program}"
        raise EnvironmentSetupFailed(
            f"user {account.name} may not {action}",
            hint="check its permissions and those of the folders above it",
            permanent=True,
        )


def explain(error: Exception, program: str) -> ProcessSpawnFailed:
    """Make what the system refused into an error that says what to do; `permanent` unless it may pass."""
    number = error.errno if isinstance(error, OSError) else None
    reason = os.strerror(number) if number is not None else str(error)
    advice = "check the command, its permissions and the working directory"
    if number == errno.E2BIG:
        advice = "make the arguments and the environment smaller"

    named = error.filename if isinstance(error, OSError) else None
    other = os.fsdecode(named) if isinstance(named, str | bytes) else ""  # it may be a descriptor, too
    if other and os.path.basename(other) != os.path.basename(program):  # noqa: PTH119 - it was looked at before
        reason, advice = f"{reason}: {other}", f"see that {other} is there and may be used"

    return ProcessSpawnFailed(
        f"cannot start {program}: {reason}",
        hint=shortage_hint(error, advice),
        details={"errno": number},
        permanent=number not in _TEMPORARY,
    )
