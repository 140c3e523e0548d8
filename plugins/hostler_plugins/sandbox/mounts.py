"""Follows the mounts of a running sandbox: a file that is replaced from outside loses its own."""

from __future__ import annotations

import os
import re
import select
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path

import anyio

from hostler_plugins.sandbox.paths import Access, Place

_ESCAPED = re.compile(rb"\\(\d{3})")


class Mounts:
    """Those of one sandbox, also when all its processes have ended; close it to let them go."""

    def __init__(self, pid: int) -> None:
        """Look at those of a process in it. OSError when it has ended."""
        self._file: int | None = os.open(f"/proc/{pid}/mountinfo", os.O_RDONLY | os.O_CLOEXEC)
        self._changes = select.epoll()
        self._changes.register(self._file, select.EPOLLIN | select.EPOLLET)
        self._known: Mapping[Path, bool] = {}

    def close(self) -> None:
        """Let them go; what was there is still known."""
        if self._file is not None:
            self.look()
            self._changes.close()
            os.close(self._file)
            self._file = None

    def look(self) -> Mapping[Path, bool]:
        """Where something is mounted now, and whether it may be written; at the end what was there then."""
        if self._file is not None:
            os.lseek(self._file, 0, os.SEEK_SET)
            text = b"".join(iter(lambda: os.read(self._file or 0, 2**16), b""))
            fields = (line.split(b" ", 6) for line in text.splitlines())
            self._known = {_path(one[4]): b"rw" in one[5].split(b",") for one in fields}
        return self._known

    async def changed(self) -> None:
        """Wait until they have changed since the last call; the first one returns at once."""
        await anyio.wait_readable(self._changes.fileno())
        self._changes.poll(0)

    def writable(self, path: Path) -> bool:
        """Whether the innermost mount around a path may be written."""
        known = self.look()
        return next((known[one] for one in (path, *path.parents) if one in known), False)


def _path(text: bytes) -> Path:
    return Path(os.fsdecode(_ESCAPED.sub(lambda found: bytes([int(found[1], 8)]), text)))


def find_mounts(pids: Iterable[int], bwrap: str) -> Mounts | None:
    """The mounts of the sandbox that one of these processes is in; None as long as it is being built."""
    levels = len(_status("self").get("NSpid", "").split())
    for pid in pids:
        status = _status(pid)
        inside = len(status.get("NSpid", "").split()) > levels
        if inside and status["Name"] != os.path.basename(bwrap)[:15]:  # noqa: PTH119 - text
            with suppress(OSError):  # it has ended
                return Mounts(pid)
    return None


def _status(pid: int | str) -> dict[str, str]:
    try:
        text = Path(f"/proc/{pid}/status").read_text(errors="replace")
    except OSError:
        return {}
    return dict(line.split(":\t", 1) for line in text.splitlines() if ":\t" in line)


def lost(places: Iterable[Place], mounts: Mounts) -> dict[Path, Access]:
    """What is no longer mounted, of what was mounted for protection."""
    there = mounts.look()
    protecting = (one for one in places if one.fixed or one.access is not Access.WRITE)
    return {one.path: one.access for one in protecting if one.path not in there}
