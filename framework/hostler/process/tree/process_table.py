"""One look at the process table: who is whose child, in which session and group, and marked by whom."""

from __future__ import annotations

import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from hostler.process.tree.procfs import (
    folder,
    links,
    list_children_of,
    list_folders,
    parse_stat,
    read,
    read_fields,
    read_stat,
)
from hostler.process.tree.run_mark import limit_mark, read_mark

MARKER = "HOSTLER_RUN_ID"
_KERNEL_THREAD, _SIGNALED = 0x00200000, 0x400  # PF_KTHREAD, PF_SIGNALED of include/linux/sched.h
_DEAD = {b"Z", b"X", b"x"}
_LOADING, _LOADING_AT_MOST = 0.001, 20
_NOT_SHOWN = (FileNotFoundError, ProcessLookupError, PermissionError)
_NEVER = -1.0  # older than everything: threads of the kernel, and zombies
MOST_LOOKS = 20


class Row(NamedTuple):
    """One living process. `start_time` is in the kernel's own unit, `rss` in bytes, `rest` not read yet."""

    pid: int
    name: str
    state: str
    parent: int
    group: int
    session: int
    start_time: float
    rss: int
    rest: bytes = b""

    @property
    def ignored(self) -> int:
        """The signals below 32 that it ignores and does not block, as bits; none where they are not shown."""
        blocked, ignored = map(int, self.rest.split(None, 9)[7:9] or (0, 0))
        return ignored & ~blocked


class Table:
    """The living processes at one moment, by pid, parent, group and session; zombies are not among them."""

    def __init__(self, rows: Iterator[Row]) -> None:
        self._forks = count_forks()  # before the first row is read
        self.rows: dict[int, Row] = {}
        self.children: dict[int, list[Row]] = defaultdict(list)
        self.groups: dict[int, list[Row]] = defaultdict(list)
        self.sessions: dict[int, list[Row]] = defaultdict(list)
        self._marked: dict[str, list[Row]] = defaultdict(list)
        self._limited: dict[int, list[Row]] = defaultdict(list)

        for row in rows:
            self.rows[row.pid] = row
            self.children[row.parent].append(row)
            self.groups[row.group].append(row)
            self.sessions[row.session].append(row)

        self._unread = sorted(self.rows.values(), key=lambda row: row.start_time)

    def is_settled(self) -> bool:
        """Whether nothing was started since this look began, and might have been born behind it."""
        return count_forks() == self._forks

    def spare(self, pids: Collection[int]) -> None:
        """Do not ask these for their marks: whose they are is known."""
        self._unread = [row for row in self._unread if row.pid not in pids]

    def marked(self, run_id: str, since: float) -> list[Row]:
        """Find who carries a mark of a run; nobody who is older than `since` is asked."""
        self.read_marks(since)
        return [*self._marked.get(run_id, ()), *self._limited.get(limit_mark(run_id), ())]

    def read_marks(self, since: float) -> None:
        """Read the marks of all who were started at a time or later, each once."""
        empty: list[Row] = []

        while self._unread and self._unread[-1].start_time >= since:
            row = self._unread.pop()
            self._limited[read_mark(row.pid)].append(row)
            if not self._note(row):
                empty.append(row)

        # While a program is being loaded (execve) the kernel shows it without an environment.
        for _ in range(_LOADING_AT_MOST):
            # Who has arguments is loaded: what it shows from then on is its environment, even if empty.
            empty = [row for row in empty if not any([_has_arguments(row.pid), self._note(row)])]
            if not empty:
                break
            time.sleep(_LOADING)

    def _note(self, row: Row) -> bool:
        """Note the marks of one process; False when it showed no environment at all."""
        try:
            environment = _environment(row.pid)
        except OSError:
            return True  # gone, or another user's
        for mark in find_marks(environment):
            self._marked[mark].append(row)
        return bool(environment)


def read_table(
    since: float = 0, seen: dict[int, tuple[int, float]] | None = None, but: Collection[int] = ()
) -> Table:
    """Look at all processes that may have been started at a time or later. Raises OSError.

    `seen` keeps from look to look who is older than that, so that those many are read once only; the pids
    `but` these are not read at all.
    """
    if sys.platform == "linux":
        return Table(_rows(since, {} if seen is None else seen, but))
    return Table(_rows_elsewhere())  # pragma: other-system


def read_subtrees(roots: Callable[[], Iterable[int]]) -> Table | None:
    """Look at some processes and all that descend from them; None where these change meanwhile.

    Raises OSError where the children of a process are not listed. Linux only.
    """
    pids = set[int]()
    table = Table(_rows_below(roots, pids))
    return table if _descendants(roots()) == pids else None


def until_settled() -> Iterator[None]:
    """Look as often as something was started during the look, and might have been born behind it."""
    for _ in range(MOST_LOOKS):
        before = count_forks()
        yield
        if count_forks() == before:
            return


def read_row(pid: int) -> Row | None:
    """Look at one process; None when it is gone, a zombie, or a thread of the kernel."""
    if sys.platform != "linux":  # pragma: other-system
        return next((row for row in _rows_elsewhere() if row.pid == pid), None)
    try:
        path = folder(pid)
        return _row(pid, path, read(f"{path}/stat"))
    except OSError:
        return None


def is_alive(pid: int, start_time: float) -> bool:
    """Whether a process still runs, and its pid is not another's by now; a zombie does not."""
    row = read_row(pid)
    return row is not None and row.start_time == start_time


def is_dying(pid: int) -> bool:
    """Tell whether SIGKILL is on its way to a process, or has reached it; False where unknown."""
    # A large process takes milliseconds to die. Who killed it and asks at once whether the server may be used
    # must not be sent to it.
    if sys.platform != "linux":  # pragma: other-system
        return False

    try:
        flags = int(read_stat(pid)[1][6])
        status = read_fields(f"{folder(pid)}/status")
    except OSError:
        return True

    # Where /proc is only partly there, as in some sandboxes, nothing is known to be pending.
    pending = int(status.get(b"SigPnd", b"0"), 16) | int(status.get(b"ShdPnd", b"0"), 16)
    return bool(flags & _SIGNALED or pending >> (signal.SIGKILL - 1) & 1)


def _rows(since: float, seen: dict[int, tuple[int, float]], but: Collection[int]) -> Iterator[Row]:
    # Not by their pids: what is numbered lower may be younger, as the numbers begin anew, and can be set.
    before = dict(seen)
    seen.clear()

    for pid, path, inode in list_folders():
        if pid in but:
            continue
        known, started = before.get(pid, (0, 0.0))
        if known != inode or started >= since:
            try:
                row = _row(pid, path, read(f"{path}/stat"))
            except _NOT_SHOWN:
                continue
            started = _NEVER if row is None else row.start_time
            if row is not None:
                yield row
        seen[pid] = inode, started


def _rows_below(roots: Callable[[], Iterable[int]], pids: set[int]) -> Iterator[Row]:
    # Within the look, which counts the forks from its begin on.
    pids |= _descendants(roots())
    for pid in pids:
        with suppress(*_NOT_SHOWN):
            path = folder(pid)
            if (row := _row(pid, path, read(f"{path}/stat"))) is not None:
                yield row


def _descendants(roots: Iterable[int]) -> set[int]:
    """These processes and all below them."""
    found, waiting = set[int](), [*roots]
    while waiting:
        pid = waiting.pop()
        if pid not in found:
            found.add(pid)
            with suppress(*_NOT_SHOWN):
                waiting += list_children_of(pid)
    return found


def _row(pid: int, path: str, stat: bytes) -> Row | None:
    name, fields = parse_stat(stat)
    if int(fields[6]) & _KERNEL_THREAD or (fields[0] in _DEAD and int(fields[17]) <= 1):
        # A main thread may end, and show as a zombie, while other threads go on.
        return None
    parent, group, session = links(path, int(fields[1]), int(fields[2]), int(fields[3]))
    rss = int(fields[21]) * os.sysconf("SC_PAGE_SIZE")
    called, state, started = name.decode(errors="replace"), fields[0].decode(), int(fields[19])
    return Row(pid, called, state, parent, group, session, started, rss, fields[22])


def start_time(pid: int) -> float:
    """When a process started, in the kernel's unit, also of a zombie; 0 when it is gone."""
    if sys.platform != "linux":  # pragma: other-system
        return getattr(read_row(pid), "start_time", 0.0)
    try:
        return int(read_stat(pid)[1][19])
    except OSError:
        return 0


def own_start_time() -> float:
    """The start time of this very process."""
    return _own_start_time(os.getpid())  # another one after a fork


@lru_cache(maxsize=1)
def _own_start_time(pid: int) -> float:
    return start_time(pid)


def find_marks(environment: bytes) -> list[str]:
    """Find the run ids in the environment of a process, as the kernel shows it."""
    place = (b"\0" + environment).find(f"\0{MARKER}=".encode())
    if place < 0:
        return []
    value = environment[place + len(MARKER) + 1 :].split(b"\0", 1)[0]
    return value.decode(errors="replace").split(":")


def count_forks() -> int:
    """A number that changes with each process or thread that is started; 0 where none is shown."""
    # The number given out last is read in a tenth of the time of the count, which comes with all interrupts.
    with suppress(OSError):
        return int(read("/proc/sys/kernel/ns_last_pid"))  # only with CONFIG_CHECKPOINT_RESTORE
    try:
        data = read("/proc/stat")
    except OSError:  # pragma: other-system
        return 0
    place = data.find(b"\nprocesses ")
    return int(data[place + 11 :].split(None, 1)[0]) if place >= 0 else 0


def _environment(pid: int) -> bytes:
    if sys.platform == "linux":
        return read(f"{folder(pid)}/environ")
    import psutil  # pragma: other-system  # noqa: PLC0415

    try:  # pragma: other-system
        pairs = psutil.Process(pid).environ().items()
    except psutil.Error:  # pragma: other-system
        return b""
    return b"\0".join(f"{name}={value}".encode() for name, value in pairs)  # pragma: other-system


def _has_arguments(pid: int) -> bool:
    """Tell whether a program has been loaded; True also for one that is gone."""
    if sys.platform != "linux":  # pragma: other-system
        return True
    try:
        return bool(read(f"{folder(pid)}/cmdline"))
    except OSError:
        return True


def _rows_elsewhere() -> Iterator[Row]:  # pragma: other-system
    import psutil  # noqa: PLC0415

    for process in psutil.process_iter(["name", "status", "ppid", "create_time", "memory_info"]):
        info = process.info
        state = "T" if info["status"] == psutil.STATUS_STOPPED else "S"
        rss = getattr(info["memory_info"], "rss", 0)
        if info["status"] == psutil.STATUS_ZOMBIE:
            continue
        with suppress(OSError):
            links = info["ppid"], os.getpgid(process.pid), os.getsid(process.pid)
            yield Row(process.pid, info["name"] or "", state, *links, info["create_time"] or 0.0, rss)
