"""Reading /proc: the folders of the processes that we see, also where it shows another pid namespace."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from typing import NamedTuple

from hostler.errors import EnvironmentSetupFailed

_ROOT = "/proc"
_CHUNK = 65536
_SHORT = 1024
_MOUNT = "mount the one of this pid namespace (mount -t proc proc /proc, or unshare --mount-proc)"


# After `unshare --pid` without a mount of /proc, and in some containers, /proc is that of the namespace
# above: it numbers all processes as they are called there. What is asked for here is always called as in
# our own.


class Ids(NamedTuple):
    """What a process is called in our namespace, and its process group and session."""

    pid: int
    group: int
    session: int


def folder(pid: int) -> str:
    """The folder of one process. Raises OSError where it is gone, or never was one of our namespace."""
    return f"{_ROOT}/{pid if _depth(os.getpid()) is None else _outer(pid)}"


def list_folders() -> Iterator[tuple[int, str, int]]:
    """Every process that we see: its pid, its folder, and the folder's inode, which no later one has."""
    depth = _depth(os.getpid())

    with os.scandir(_ROOT) as entries:
        for entry in entries:
            if not entry.name.isdigit():
                continue
            if depth is None:
                yield int(entry.name), entry.path, entry.inode()
            elif ids := _inner(entry.path, depth):
                yield ids.pid, entry.path, entry.inode()


def list_children() -> list[int]:
    """The children of the main thread, those that have ended too. Raises OSError where they are not listed.

    They are those that it started, and all that were adopted: the kernel gives these to the first thread.
    A `SpawnThread` has children of its own.
    """
    if _depth(os.getpid()) is not None:
        raise FileNotFoundError("/proc is that of another pid namespace")
    return [int(pid) for pid in read(f"{_ROOT}/self/task/{os.getpid()}/children").split()]


def list_children_of(pid: int) -> list[int]:
    """The children of any process, of all its threads. Raises OSError where it is gone, or hidden from us."""
    threads = f"{_ROOT}/{pid}/task"
    with os.scandir(threads) as entries:
        return [int(child) for one in entries for child in _children_of_thread(one.path)]


def links(path: str, parent: int, group: int, session: int) -> tuple[int, int, int]:
    """The parent, process group and session that stand in a folder, as they are called here."""
    depth = _depth(os.getpid())
    if depth is None:
        return parent, group, session
    own, above = _inner(path, depth), _inner(f"{_ROOT}/{parent}", depth)
    return above.pid if above else 0, own.group if own else 0, own.session if own else 0


def read(path: str) -> bytes:
    """Read a file of /proc. Raises OSError."""
    # Not Path.read_bytes, which takes twice as long: a look at the process table reads hundreds.
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        data = piece = _read_piece(fd)
        # What is shorter was all, without a read that returns nothing: /proc gives out whole pages.
        while len(piece) >= _SHORT:
            piece = _read_piece(fd)
            data += piece
        return data
    finally:
        os.close(fd)


def _read_piece(fd: int) -> bytes:
    try:
        return os.read(fd, _CHUNK)
    except MemoryError:
        return os.read(fd, _SHORT)


def read_fields(path: str) -> dict[bytes, bytes]:
    """Read a file of /proc with one `name: value` on each line. Raises OSError."""
    parts = (line.partition(b":") for line in read(path).splitlines())
    return {name: value for name, _, value in parts}


def read_stat(pid: int) -> tuple[bytes, list[bytes]]:
    """Read the name of a process and the fields after it (proc_pid_stat), from the state on; or OSError."""
    return parse_stat(read(f"{folder(pid)}/stat"))


def parse_stat(data: bytes) -> tuple[bytes, list[bytes]]:
    """Split what is in the `stat` file of a process; returns as `read_stat` does."""
    end = data.rindex(b")")  # the name may hold anything, a ")" too
    return data[data.index(b"(") + 1 : end], data[end + 2 :].split(None, 22)


def check_proc() -> None:
    """Return when there is a /proc to find what a server starts. Raises EnvironmentSetupFailed."""
    if sys.platform == "linux" and not os.path.exists(f"{_ROOT}/self/stat"):  # noqa: PTH110 - as above
        raise EnvironmentSetupFailed(
            "there is no /proc, or hostler itself is not in it",
            hint="mount it: mount -t proc proc /proc",
            permanent=True,
        )


def doubt() -> str:
    """Why processes may not be seen as they should; empty where they are."""
    if _depth(os.getpid()) is not None:
        return f"/proc is that of another pid namespace, which makes looking for processes slow: {_MOUNT}"

    if not os.access(f"{_ROOT}/1/stat", os.R_OK):
        return (
            "/proc hides the processes of other users (hidepid): what changes its user is not found, and who "
            "listens at a port may not be told"
        )

    return ""


def _children_of_thread(path: str) -> list[bytes]:
    try:
        return read(f"{path}/children").split()
    except (FileNotFoundError, ProcessLookupError):  # it ended, and another one has its children
        return []


@lru_cache(maxsize=1)
def _depth(pid: int) -> int | None:
    """How many namespaces our own is below that of /proc; None where it is the same."""
    with suppress(OSError):
        if os.readlink(f"{_ROOT}/self") != str(pid):  # noqa: PTH115
            return len(read_fields(f"{_ROOT}/self/status")[b"NSpid"].split()) - 1
    return None


def _outer(pid: int) -> int:
    """What /proc calls one of our processes, asked of the kernel by a descriptor."""
    if sys.platform != "linux":  # pragma: other-system
        raise ProcessLookupError
    fd = os.pidfd_open(pid)
    try:
        number = int(read_fields(f"{_ROOT}/self/fdinfo/{fd}").get(b"Pid", -1))
    finally:
        os.close(fd)
    if number < 1:
        raise ProcessLookupError
    return number


def _inner(path: str, depth: int) -> Ids | None:
    """What the process of a folder is called here; None for one of another namespace."""
    with suppress(OSError, IndexError, KeyError):
        status = read_fields(f"{path}/status")
        pid, group, session = (int(status[name].split()[depth]) for name in (b"NSpid", b"NSpgid", b"NSsid"))
        # A namespace beside ours has the same depth, and may use the same numbers.
        if _outer(pid) == int(path.rpartition("/")[2]):
            return Ids(pid, group, session)
    return None
