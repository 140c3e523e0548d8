"""Where the hostler of a configuration is found: its lock, its socket, and its description."""

from __future__ import annotations

import fcntl
import json
import os
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from hashlib import sha256

LONGEST_PATH = 100
"""Bytes of a socket's path: macOS takes 104, Linux 108."""

_MOST = 65_536  # bytes of a description
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Location:
    """The files of one configuration's hostler: `lock`, `socket` and `description`, in the private `folder`.

    Whether there is one is decided by the lock alone: a socket that was left over means nothing.
    """

    def __init__(self, folder: str, key: str) -> None:
        self.folder = folder
        self.key = key

    @property
    def lock(self) -> str:
        """Held (flock) as long as the hostler lives."""
        return f"{self.folder}/{self.key}.lock"

    @property
    def socket(self) -> str:
        """Where it listens, unless its description names another place."""
        return f"{self.folder}/{self.key}.sock"

    @property
    def description(self) -> str:
        """JSON: pid, version, api, configuration, socket, log and since."""
        return f"{self.folder}/{self.key}.json"

    def is_held(self) -> bool:
        """Whether a hostler supervises this configuration. Whoever takes the lock just now has to retry."""
        try:
            descriptor = os.open(self.lock, _OPEN)
        except OSError:
            return False
        try:
            fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(descriptor)
        return False

    def describe(self) -> dict[str, object]:
        """What the hostler says of itself; empty where there is nothing to read."""
        return _read_object(self.description)

    def owner(self) -> dict[str, object]:
        """What stands in the lock's file: the pid of who holds it, or has held it last."""
        return _read_object(self.lock)


def locate(configuration: str, environ: Mapping[str, str]) -> Location:
    """Where the hostler of a configuration file is found, by the links that lead to its folder now."""
    parent, name = os.path.split(os.path.abspath(configuration))
    path = os.path.join(os.path.realpath(parent), name)
    return Location(control_folder(environ), sha256(os.fsencode(path)).hexdigest()[:16])


def locations(environ: Mapping[str, str]) -> Iterator[Location]:
    """All that have a lock's file in this user's folder."""
    folder = control_folder(environ)
    with suppress(OSError):
        for name in sorted(os.listdir(folder)):
            if name.endswith(".lock"):
                yield Location(folder, name.removesuffix(".lock"))


def control_folder(environ: Mapping[str, str]) -> str:
    """`hostler` in XDG_RUNTIME_DIR, where that is ours alone; else `control` in the state directory."""
    runtime = environ.get("XDG_RUNTIME_DIR", "")
    with suppress(OSError):
        found = os.lstat(runtime) if os.path.isabs(runtime) else None
        if (
            found
            and stat.S_ISDIR(found.st_mode)
            and found.st_uid == os.geteuid()
            and not found.st_mode & 0o077
        ):
            return os.path.join(runtime, "hostler")
    return os.path.join(_state_directory(environ), "control")


def _state_directory(environ: Mapping[str, str]) -> str:
    """As `hostler.Directories.default().state`, without the import of platformdirs."""
    chosen = environ.get("XDG_STATE_HOME", "")
    if os.path.isabs(chosen):
        return os.path.join(chosen, "hostler")
    usual = "~/Library/Application Support" if sys.platform == "darwin" else "~/.local/state"
    return os.path.join(os.path.expanduser(usual), "hostler")


def _read_object(path: str) -> dict[str, object]:
    with suppress(OSError, ValueError, RecursionError):
        with open(os.open(path, _OPEN), encoding="utf-8") as file:
            value = json.loads(file.read(_MOST))
        return value if isinstance(value, dict) else {}
    return {}
