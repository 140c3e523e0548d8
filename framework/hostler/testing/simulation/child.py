"""A simulated child process: it does what the test says, when the test says it."""

from __future__ import annotations

import asyncio
import itertools
import math
import signal
from collections.abc import Iterator
from dataclasses import dataclass

from hostler.concurrency.flag import Flag
from hostler.model.launch import Launch
from hostler.model.values import StreamName
from hostler.process.spawn.exits import ExitStatus, Process
from hostler.testing.simulation.output import FakeCapture

_RSS = 10 * 2**20


@dataclass(frozen=True, slots=True)
class Bound:
    """An address that a member of a child's tree listens at."""

    host: str
    port: int
    pid: int


class FakeChild(Process):
    """One spawned child with its tree. It lives, and does nothing, until it is told to.

    `ends_after` is how many seconds it takes to end after SIGTERM: `math.inf` ignores it. An `immortal`
    one outlives SIGKILL too. `signals` is what it was sent, `bound` where it listens now, `ports` where it
    ever did.
    """

    def __init__(
        self, launch: Launch, run_id: str, started: float, pids: Iterator[int], capture: FakeCapture
    ) -> None:
        # Not that of Process, which watches a real pid.
        self.pid = next(pids)
        self.run_id, self.started, self.start_time = run_id, started, started
        self.doubt, self.missing_tools, self.exit_fd, self.cgroup = "", (), None, None
        self._status: ExitStatus | None = None
        self._ended = Flag()
        self.launch = launch
        self.ends_after = 0.0
        self.immortal = False
        self.signals: list[int] = []
        self.bound: list[Bound] = []
        self.ports: set[int] = set()
        self.members = {self.pid}
        self.gone = Flag()
        self._pids = pids
        self._capture = capture

    # -- what it does -------------------------------------------------------------------------

    def say(self, text: str, stream: StreamName = "stdout") -> None:
        """Print one line."""
        self._capture.take(stream, text)

    def announce(self) -> None:
        """Print where it was asked to listen, in the words that most servers use."""
        self.say(f"listening on http://{self.launch.host}:{self.launch.port}")

    def listen(self, host: str | None = None, port: int | None = None, *, pid: int | None = None) -> None:
        """Listen where it was asked to or elsewhere, itself or with another member of its tree."""
        port = self.launch.port if port is None else port
        owner = self.pid if pid is None else pid
        if port is not None and owner in self.members:
            self.bound.append(Bound(host or self.launch.host, port, owner))
            self.ports.add(port)

    def fork(self) -> int | None:
        """Start a process of its own; the new pid, None when the child is dead."""
        if not self.alive():
            return None
        pid = next(self._pids)
        self.members.add(pid)
        return pid

    def exit(self, code: int = 0) -> None:
        """End the child itself; what it started goes on."""
        self._leave(ExitStatus(code=code))

    def die(self, number: int = signal.SIGKILL) -> None:
        """End the child itself by a signal; what it started goes on."""
        self._leave(ExitStatus(signal=number))

    # -- what is done to it -------------------------------------------------------------------

    def alive(self) -> bool:
        """Whether the child itself is alive."""
        return self._status is None

    def send_signal(self, number: int) -> bool:
        """Signal the child alone; False when it has ended."""
        lived = self.alive()
        self.signal_tree(number, {self.pid})
        return lived

    def signal_tree(self, number: int, pids: set[int] | None = None) -> None:
        """Signal every member: SIGKILL ends all at once, any other after `ends_after`."""
        chosen = set(self.members if pids is None else pids)
        if self.pid in chosen or number == signal.SIGKILL:
            self.signals.append(number)
        if number == signal.SIGKILL:
            self._end_members(chosen, number)
        elif not math.isinf(self.ends_after):
            asyncio.get_running_loop().call_later(self.ends_after, self._end_members, chosen, number)

    def let_go(self) -> None:
        """Be mortal again, and end if SIGKILL was sent meanwhile."""
        self.immortal = False
        if signal.SIGKILL in self.signals:
            self._end_members(set(self.members), signal.SIGKILL)

    @property
    def rss(self) -> int:
        """Its memory in bytes: some for each member."""
        return _RSS * len(self.members)

    def _end_members(self, pids: set[int], number: int) -> None:
        if self.immortal:
            return
        if self.pid in pids:
            self.die(number)
        for pid in pids & self.members:
            self._lose(pid)

    def _leave(self, status: ExitStatus) -> None:
        if self._status is None:
            self._status = status
            self._ended.set()
            self._lose(self.pid)

    def _lose(self, pid: int) -> None:
        self.members.discard(pid)
        self.bound = [bound for bound in self.bound if bound.pid != pid]
        if not self.members:
            self.gone.set()
            self._capture.finish()


def impossible_pids() -> Iterator[int]:
    """Pids above all that a kernel gives out, so that no real process can ever be hit."""
    return itertools.count(2**22 + 1)
