"""The folders in /proc of the processes that we see, also where /proc shows another pid namespace.

After `unshare --pid` without a mount of /proc, and in some containers, it is that of the namespace above: it
numbers all processes as they are called there. What is asked for here is always called as in our own.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from hostler.errors import EnvironmentSetupFailed

_ROOT = "/proc"
_MOUNT = "mount the one of this pid namespace (mount -t proc proc /proc, or unshare --mount-proc)"


class Ids(NamedTuple):
    """What a process is called in our namespace, and its process group and session."""

    pid: int
    group: int
    session: int


def folder(pid: int) -> str:
    """The folder of one process. Raises OSError where it is gone, or never was one of our namespace."""
    return f"{_ROOT}/{pid if _depth(os.getpid()) is None else _outer(pid)}"


def list_folders() -> Iterator[tuple[int, str, int]]:
    """Every process that we see: its pid, its folder, and what tells it from a later one of that name."""
    depth = _depth(os.getpid())

    with os.scandir(_ROOT) as entries:
        for entry in entries:
            if not entry.name.isdigit():
                continue
            if depth is None:
                yield int(entry.name), entry.path, entry.inode()
            elif ids := _inner(entry.path, depth):
                yield ids.pid, entry.path, entry.inode()


def links(path: str, parent: int, group: int, session: int) -> tuple[int, int, int]:
    """The parent, process group and session that stand in a folder, as they are called here."""
    depth = _depth(os.getpid())
    if depth is None:
        return parent, group, session
    own, above = _inner(path, depth), _inner(f"{_ROOT}/{parent}", depth)
    return above.pid if above else 0, own.group if own else 0, own.session if own else 0


def check_proc() -> None:
    """Return when there is a /proc to find what a server starts. Raises EnvironmentSetupFailed."""
    if sys.platform == "linux" and not Path(_ROOT, "self/stat").exists():
        raise EnvironmentSetupFailed(
            "there is no /proc, or not one in which hostler itself is",
            hint="mount it: mount -t proc proc /proc",
            permanent=True,
        )


def doubt() -> str:
    """Why processes may not be seen as they should; empty where they are."""
    if _depth(os.getpid()) is not None:
        return f"/proc is that of another pid namespace, which makes looking for processes slow: {_MOUNT}"

    try:
        Path(_ROOT, "1/stat").read_bytes()
    except OSError:
        return (
            "/proc hides the processes of other users (hidepid): what changes its user is not found, and who "
            "listens at a port may not be told"
        )

    return ""


@lru_cache(maxsize=1)
def _depth(pid: int) -> int | None:
    """How many namespaces our own is below that of /proc; None where it is the same."""
    with suppress(OSError):
        if os.readlink(f"{_ROOT}/self") != str(pid):  # noqa: PTH115
            return len(_status(f"{_ROOT}/self")[b"NSpid"]) - 1
    return None


def _outer(pid: int) -> int:
    """What /proc calls one of our processes, asked of the kernel by a descriptor."""
    if sys.platform != "linux":  # pragma: other-system
        raise ProcessLookupError
    fd = os.pidfd_open(pid)
    try:
        return _number_of(fd)
    finally:
        os.close(fd)


def _number_of(fd: int) -> int:
    lines = Path(f"{_ROOT}/self/fdinfo/{fd}").read_bytes().splitlines()
    number = next((int(line[4:]) for line in lines if line.startswith(b"Pid:")), -1)
    if number < 1:
        raise ProcessLookupError
    return number


def _inner(path: str, depth: int) -> Ids | None:
    """What the process of a folder is called here; None for one of another namespace."""
    with suppress(OSError, IndexError, KeyError):
        status = _status(path)
        pid, group, session = (status[name][depth] for name in (b"NSpid", b"NSpgid", b"NSsid"))
        if _outer(pid) == int(path.rpartition("/")[2]):  # a sibling of our namespace has the same depth
            return Ids(pid, group, session)
    return None


def _status(path: str) -> dict[bytes, list[int]]:
    lines = Path(path, "status").read_bytes().splitlines()
    pairs = (line.split(b":", 1) for line in lines if line.startswith(b"NS"))
    return {name: [int(number) for number in numbers.split()] for name, numbers in pairs}
