"""A mark that daemons keep: a soft limit that limits nobody, inherited by whatever a server starts."""

from __future__ import annotations

import resource
import sys
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from hostler.process.tree.procfs import folder

# Many a daemon clears or overwrites its environment, forks twice and has a session of its own, which leaves
# no other trace. RLIMIT_RTTIME is the time in microseconds that a thread with a real-time policy may run
# without a pause; the marks begin at 140,000 years. Linux only.
_LEAST = 1 << 62
_IDS = (1 << 61) - 1  # a prime: ids in hexadecimal digits are spread over all of it
_NAME = "rttime"
OUTPUT_THREAD_NAME = "hostler-output"
"""That of the thread which reads what children write, and starts none."""
SPAWN_THREAD_NAME = "hostler-spawn"
"""How that of a thread begins which starts children for another one that waits."""

_OURS = (OUTPUT_THREAD_NAME, SPAWN_THREAD_NAME)


def limit_mark(run_id: str) -> int:
    """The soft limit that marks a run."""
    return _LEAST + int.from_bytes(run_id.encode(errors="surrogatepass"), "big") % _IDS


def mark_option(run_id: str, limits: Collection[str]) -> str:
    """The option of prlimit that marks a run; "" where somebody limits that time, as `limits` of it may."""
    return "" if _NAME in limits or not _may_mark() else f"--{_NAME}={limit_mark(run_id)}:"


def may_lend() -> bool:
    """Whether nobody else starts a child just now: others are idle, or ours, which start none alone."""
    others = (thread for thread in threading.enumerate() if thread is not threading.current_thread())
    return all(thread.name.startswith(_OURS) or _is_idle(thread) for thread in others)


def _is_idle(thread: threading.Thread) -> bool:
    # A worker of anyio: only its event loop gives it work. Were that not ours, its thread would be here, too.
    return thread in getattr(thread, "idle_workers", ())


@contextmanager
def lent_mark(run_id: str) -> Iterator[None]:
    """Have the mark ourselves while a child is spawned, which inherits it: saves the exec of a `prlimit`."""
    if sys.platform != "linux":  # pragma: other-system
        yield
        return

    own = resource.getrlimit(resource.RLIMIT_RTTIME)
    resource.setrlimit(resource.RLIMIT_RTTIME, (limit_mark(run_id), own[1]))

    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_RTTIME, own)


def mark_process(pid: int, run_id: str) -> None:
    """Mark a process from outside, where there is no prlimit: what it has started before stays unmarked."""
    if sys.platform == "linux":
        with suppress(OSError, ValueError):
            hard = resource.prlimit(pid, resource.RLIMIT_RTTIME)[1]
            resource.prlimit(pid, resource.RLIMIT_RTTIME, (limit_mark(run_id), hard))


def read_mark(pid: int) -> int:
    """The mark of a process; 0 where it has none, or is gone."""
    if sys.platform != "linux":  # pragma: other-system
        return 0

    try:
        soft = resource.prlimit(pid, resource.RLIMIT_RTTIME)[0]
    except PermissionError:  # another user's: its folder shows it to everybody
        soft = _read_folder(pid)
    except OSError:
        return 0

    return soft if soft >= _LEAST else 0


def _may_mark() -> bool:
    """Some containers know no such limit, and refuse to set what is set."""
    if sys.platform != "linux":  # pragma: other-system
        return False
    try:
        soft, hard = own = resource.getrlimit(resource.RLIMIT_RTTIME)
        resource.setrlimit(resource.RLIMIT_RTTIME, own)
    except (OSError, ValueError):
        return False
    return hard == resource.RLIM_INFINITY and (soft == resource.RLIM_INFINITY or soft >= _LEAST)


def _read_folder(pid: int) -> int:
    with suppress(OSError, ValueError):
        for line in Path(folder(pid), "limits").read_bytes().splitlines():
            if line.startswith(b"Max realtime timeout"):
                return int(line.split()[3])
    return 0
