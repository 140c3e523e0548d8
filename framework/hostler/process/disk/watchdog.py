"""The watchdog: a program of its own that ends the listed processes when hostler is gone.

Started by `watchdog_client.py` as `python -I -S watchdog.py PID FOLDER...`: the pid of hostler, and
folders to import from. Its standard input lists the runs: "add RUN_ID",
"add RUN_ID PID START_TIME [CONTROL_GROUP]", "remove RUN_ID".
"""

from __future__ import annotations

import os
import select
import signal
import sys
import time
from contextlib import suppress
from pathlib import Path

if __name__ == "__main__":  # first of all: what ends hostler is often sent to all that it started
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)

    sys.path.extend(sys.argv[2:])

from hostler.model.dataclass import dataclass
from hostler.process.spawn.cgroups import kill_group
from hostler.process.tree.members import Member, find_leftovers, find_tree
from hostler.process.tree.process_table import start_time

_KILL_WITHIN = 10.0
_LONGEST_PAUSE = 0.2
_STDIN = 0


@dataclass(eq=False)
class Run:
    """One listed run; `pid` is 0 until it was spawned."""

    run_id: str
    pid: int = 0
    start_time: float = 0.0
    cgroup: Path | None = None

    def members(self, known: set[Member]) -> list[Member]:
        """Find who is left of it."""
        if self.pid and self.start_time:
            return find_tree(self, known)
        return find_leftovers(self.run_id, None, 0, known)


def update(runs: dict[str, Run], text: str) -> None:
    """Add or remove a run, as one line says."""
    match text.split(maxsplit=4):
        case ["add", run_id]:
            runs[run_id] = Run(run_id)
        case ["add", run_id, pid, start, *group]:
            runs[run_id] = Run(run_id, int(pid), float(start), *map(Path, group))
        case ["remove", run_id]:
            runs.pop(run_id, None)


def listen(hostler: int, channel: int) -> dict[str, Run]:
    """Take line after line until hostler is gone; what is listed then."""
    runs: dict[str, Run] = {}
    end = open_end(hostler)
    rest = b""

    while True:
        gone = end is not None and select.select([channel, end], [], [])[0] == [end]
        data = b"" if gone else os.read(channel, 65536)
        if not data:
            return runs
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            update(runs, line.decode())


def open_end(pid: int) -> int | None:
    """Open what becomes readable when hostler dies, even if a fork of it still holds the other end here."""
    if sys.platform != "linux":  # pragma: other-system
        return None
    with suppress(OSError):
        end = os.pidfd_open(pid)
        if os.getppid() == pid:
            return end
    return os.open("/dev/null", os.O_RDONLY)  # gone already


def kill(runs: list[Run]) -> None:
    """Kill until nobody is found; what hangs in the kernel is left to the next start of hostler."""
    known: dict[Run, set[Member]] = {run: set() for run in runs}
    until = time.monotonic() + _KILL_WITHIN
    pause = 0.001

    while known and time.monotonic() < until:
        for run in tuple(known):
            members = run.members(known[run])
            known[run].update(members)
            kill_group(run.cgroup)
            for member in members:
                end(member)
            if not members:
                del known[run]
        time.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE)


def end(member: Member) -> None:
    """Kill one process, and no other that has its number by now."""
    with suppress(OSError):
        if sys.platform != "linux":  # pragma: other-system
            os.kill(member.pid, signal.SIGKILL)
            return
        fd = os.pidfd_open(member.pid)
        try:
            if start_time(member.pid) == member.start_time:
                signal.pidfd_send_signal(fd, signal.SIGKILL)
        finally:
            os.close(fd)


def main() -> None:
    """Listen until hostler is gone, then kill what is listed."""
    kill(list(listen(int(sys.argv[1]), _STDIN).values()))


if __name__ == "__main__":
    main()
