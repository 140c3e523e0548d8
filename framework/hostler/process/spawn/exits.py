"""A spawned child and its exit: reported by the kernel, reaped at once, known to everybody who asks."""

from __future__ import annotations

import asyncio
import math
import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import InitVar, dataclass
from pathlib import Path

from msgspec import Struct

from hostler.concurrency.flag import Flag
from hostler.model.values import signal_name
from hostler.process.tree.process_table import start_time


class ExitStatus(Struct, frozen=True):
    """How a process ended: an exit code, or the signal that killed it.

    Both are None when somebody else in this program took the status from us: ended, but unknown how.
    """

    code: int | None = None
    signal: int | None = None

    @property
    def name(self) -> int | str | None:
        """The exit code, or the name of the signal: "SIGTERM"."""
        return self.code if self.signal is None else signal_name(self.signal)

    @classmethod
    def from_wait(cls, status: int) -> ExitStatus:
        """Read what waitpid returned."""
        code = os.waitstatus_to_exitcode(status)
        return cls(code=code) if code >= 0 else cls(signal=-code)


@dataclass(eq=False, repr=False)
class Process:
    """A child that was started just now, watched in place of its Popen, on the running event loop.

    `start_time` is the kernel's, in its own unit: together with the pid an identity, since pids are
    reused. `started` is monotonic. `missing_tools` names what was wanted in front of the command and is not
    on this machine, `doubt` why what it starts may not be seen. `cgroup` is the control group that it is in
    alone. `reaped` tells that its pid may be another's by now, without asking the kernel, `reaped_at`
    since when (monotonic). The other end of its input is held open as long as it lives.

    Its exit is reaped as soon as the kernel reports it, whether anybody waits or not. Only the loop's thread
    may use it. Raises OSError when it cannot be watched; the child is killed then.
    """

    child: InitVar[subprocess.Popen[bytes]]
    run_id: str
    started: float
    missing_tools: tuple[str, ...] = ()
    doubt: str = ""
    cgroup: Path | None = None

    def __post_init__(self, child: subprocess.Popen[bytes]) -> None:
        # The one way to have a Popen neither wait for its child nor warn that nobody did.
        child.returncode = 0
        self.pid = child.pid
        self.start_time = start_time(child.pid)
        self._input = child.stdin
        self._status: ExitStatus | None = None
        self.reaped, self.reaped_at = False, math.inf
        self._ended = Flag()
        self._loop = asyncio.get_running_loop()
        try:
            self.exit_fd = open_exit_fd(self.pid)
            if self.exit_fd is None:
                self._reap(0)  # it ended before we could watch it, so this does not block
            else:
                self._loop.add_reader(self.exit_fd, self.alive)
        except OSError:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
            self.close_input()
            raise

    def __repr__(self) -> str:
        return f"<Process pid={self.pid} run_id={self.run_id} {self._status or 'alive'}>"

    @property
    def exit_status(self) -> ExitStatus | None:
        """How it ended, None while it lives."""
        return None if self.alive() else self._status

    def alive(self) -> bool:
        """Ask the kernel; a zombie is not alive, and is reaped by asking."""
        if self._status is None:
            self._reap(os.WNOHANG)
        return self._status is None

    async def wait(self) -> ExitStatus:
        """Wait for the end, not for the pipes; any number may wait, and any of them be cancelled."""
        await self._ended.wait()
        return self._status or ExitStatus()

    def notify(self, function: Callable[[], object]) -> None:
        """Have `function` called as soon as its end is known, or now where it is."""
        if self._ended.is_set():
            function()
        else:
            self._ended.notify(function)

    def send_signal(self, number: int) -> bool:
        """Send a signal to the process alone; False when it is known to have ended."""
        # It is not reaped first where its descriptor suffices: hundreds that are stopped together are to be
        # reaped by the loop in a few turns, so that a few looks serve all of them.
        with suppress(ProcessLookupError):
            if self.exit_fd is not None and (sys.platform == "linux" or self.alive()):
                send_signal(self.pid, self.exit_fd, number)
                return True
        return False

    def close_input(self) -> None:
        """Close the other end of its input, where we hold one: whoever reads there sees its end."""
        if self._input is not None:
            self._input.close()

    def _reap(self, options: int) -> None:
        try:
            pid, status = os.waitpid(self.pid, options)
        except ChildProcessError:
            # A host program that waits for any child, or ignores SIGCHLD, was faster: the status is lost.
            self._end(ExitStatus())
        else:
            if pid:
                self._end(ExitStatus.from_wait(status))

    def _end(self, status: ExitStatus) -> None:
        self._status, self.reaped, self.reaped_at = status, True, time.monotonic()
        self.close_input()

        with suppress(RuntimeError):  # the loop is closed: nobody waits any more
            self._ended.set()

        if self.exit_fd is None:
            return

        if not self._loop.is_closed():
            self._loop.remove_reader(self.exit_fd)

        os.close(self.exit_fd)
        self.exit_fd = None


def open_exit_fd(pid: int) -> int | None:
    """Open a descriptor that becomes readable when the process ends; None when it is gone already."""
    if sys.platform == "linux":
        try:
            return os.pidfd_open(pid)
        except ProcessLookupError:
            return None
    return _open_kqueue(pid)  # pragma: other-system


def _open_kqueue(pid: int) -> int | None:  # pragma: other-system
    # macOS has no pidfd; a kqueue for one process is a descriptor that can be waited for as well.
    queue = select.kqueue()  # type: ignore[attr-defined,unused-ignore]
    event = select.kevent(  # type: ignore[attr-defined,unused-ignore]
        pid,
        filter=select.KQ_FILTER_PROC,  # type: ignore[attr-defined,unused-ignore]
        flags=select.KQ_EV_ADD,  # type: ignore[attr-defined,unused-ignore]
        fflags=select.KQ_NOTE_EXIT,  # type: ignore[attr-defined,unused-ignore]
    )
    try:
        queue.control([event], 0, 0)
        return os.dup(queue.fileno())
    except ProcessLookupError:
        return None
    finally:
        queue.close()


def send_signal(pid: int, exit_fd: int, number: int) -> None:
    """Signal the process behind a descriptor; ProcessLookupError when it is gone, or PermissionError."""
    if sys.platform == "linux":
        # By its descriptor: the pid may be that of another process by now.
        signal.pidfd_send_signal(exit_fd, number)
    else:  # pragma: other-system
        os.kill(pid, number)
