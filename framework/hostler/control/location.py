"""Where the hostler of a configuration is found: its lock, its socket, and its description."""

from __future__ import annotations

import fcntl
import json
import os
import signal
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress

from hostler import namespace_key, namespace_of

LONGEST_PATH = 100
"""Bytes of a socket's path: macOS takes 104, Linux 108."""

_PROC = "/proc"
_MOST = 65_536  # bytes of a description
_OPEN = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


class Location:
    """The files of one configuration's hostler: `lock`, `socket` and `description`, in the private `folder`.

    Whether there is one is decided by the lock alone: a socket that was left over means nothing. Lock and
    description are in `home` too, where those look who have another environment (cron, ssh).
    """

    def __init__(self, folder: str, key: str, home: str = "") -> None:
        self.folder = folder
        self.key = key
        self.home = home or folder

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
        """JSON: pid, start_time, boot_id, version, api, configuration, socket, log, since and tcp."""
        return f"{self.folder}/{self.key}.json"

    @property
    def tokens(self) -> dict[str, str]:
        """The files of the tokens for requests over TCP, by what they allow."""
        names = ("read", "operate", "connect")
        return {name: f"{self.folder}/{self.key}.{name}.token" for name in names}

    @property
    def dashboard(self) -> str:
        """What a hostler that was killed leaves of its dashboard, so that the next one offers it again."""
        return f"{self.folder}/{self.key}.dashboard"

    @property
    def everywhere(self) -> list[Location]:
        """The one in each of its folders, that of `home` first: whoever comes to it later is not alone."""
        return [Location(folder, self.key) for folder in dict.fromkeys((self.home, self.folder))]

    def is_held(self) -> bool:
        """Whether a hostler supervises this configuration. Whoever takes the lock just now has to retry."""
        return any(_is_held(one.lock) for one in self.everywhere)

    def describe(self) -> dict[str, object]:
        """What the hostler says of itself; empty where there is nothing to read."""
        return _read_object(self._place().description)

    def owner(self) -> dict[str, object]:
        """What stands in the lock's file: who holds it, or has held it last, by `pid` and `start_time`."""
        return _read_object(self._place().lock)

    def _place(self) -> Location:
        """Where the lock is held, be it by one with another environment than ours."""
        return next((one for one in self.everywhere if _is_held(one.lock)), self)

    def request_socket(self) -> None:
        """Have the hostler make its socket again, which somebody has removed."""
        owner = self.owner()
        pid, begun = owner.get("pid"), owner.get("start_time")
        if owner.get("relistens") is not True or not isinstance(pid, int) or pid < 1:
            return  # the signal would end a program that does not say that it waits for it
        if begun is not None and start_time(pid) == begun:
            with suppress(OSError):
                os.kill(pid, signal.SIGUSR1)


def locate_namespace(configuration: str, environ: Mapping[str, str]) -> str:
    """The namespace that the locks of its servers have."""
    state = _directory(environ, "XDG_STATE_HOME", ".local/state")
    return namespace_of(configuration, state, data_directory(environ))


def data_directory(environ: Mapping[str, str]) -> str:
    """Where logs go; no absolute path where there is no home folder."""
    return _directory(environ, "XDG_DATA_HOME", ".local/share")


def locate(configuration: str, environ: Mapping[str, str]) -> Location:
    """Where the hostler of a configuration file is found: by the namespace that its servers' locks have."""
    key = namespace_key(locate_namespace(configuration, environ))[:16]
    return Location(control_folder(environ), key, _home(environ))


def locations(environ: Mapping[str, str]) -> Iterator[Location]:
    """All that have a lock's file in this user's folders."""
    folder, home = control_folder(environ), _home(environ)
    names = set()
    for one in (folder, home):
        with suppress(OSError):
            names |= {name for name in os.listdir(one) if name.endswith(".lock")}
    for name in sorted(names):
        yield Location(folder, name.removesuffix(".lock"), home)


def start_time(pid: int) -> float | None:
    """When a process was started, in the unit of its system; None where it has ended, reaped or not."""
    if not os.path.isdir(f"{_PROC}/self"):
        import psutil  # noqa: PLC0415 - heavy

        with suppress(psutil.Error):
            process = psutil.Process(pid)
            return None if process.status() == psutil.STATUS_ZOMBIE else float(process.create_time())
        return None
    with suppress(OSError), open(f"{_PROC}/{pid}/stat", "rb") as file:
        fields = file.read().rpartition(b")")[2].split()
        return None if fields[0] == b"Z" else float(fields[19])
    return None


def boot_id() -> str | None:
    """The identity of this boot; None where the system shows none."""
    with suppress(OSError), open("/proc/sys/kernel/random/boot_id", encoding="utf-8") as file:
        return file.read().strip()
    return None


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
    return _home(environ)


def _home(environ: Mapping[str, str]) -> str:
    return os.path.join(_directory(environ, "XDG_STATE_HOME", ".local/state"), "control")


def _directory(environ: Mapping[str, str], variable: str, usual: str) -> str:
    """As in `hostler.Directories.default()`, without its imports."""
    chosen = environ.get(variable, "")
    if os.path.isabs(chosen):
        return os.path.join(chosen, "hostler")
    usual = "Library/Application Support" if sys.platform == "darwin" else usual
    return os.path.join(_user_folder(), usual, "hostler")


def _user_folder() -> str:
    home = os.environ.get("HOME", "")
    if os.path.isabs(home):
        return home
    import pwd  # noqa: PLC0415 - few have no HOME

    with suppress(KeyError):
        return pwd.getpwuid(os.getuid()).pw_dir
    return home


def _is_held(lock: str) -> bool:
    try:
        descriptor = os.open(lock, _OPEN)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _read_object(path: str) -> dict[str, object]:
    with suppress(OSError, ValueError, RecursionError):
        with open(os.open(path, _OPEN), encoding="utf-8") as file:
            value = json.loads(file.read(_MOST))
        return value if isinstance(value, dict) else {}
    return {}
