"""Control groups (version 2): where one was handed to us, one for each run, with the limits that it keeps.

The names of files and controllers are those of Documentation/admin-guide/cgroup-v2.rst of the kernel; how a
part of the tree is handed over is told in systemd's CGROUP_DELEGATION.
"""

from __future__ import annotations

import errno
import os
import secrets
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from hostler import EnvironmentSetupFailed

CONTROLLERS = frozenset({"memory", "pids", "cpu"})

_OWN_LEAF = "hostler"  # where we go ourselves: only leaves may hold processes
_DELEGATED = ("user.delegate", "trusted.delegate")
_MICROSECONDS = 1_000_000


@dataclass(frozen=True, slots=True)
class Group:
    """The control group of one run."""

    path: Path

    def set(self, file: str, value: str) -> bool:
        """Write one of its files; False where its controller is not to be had."""
        try:
            _write(self.path / file, value)
        except OSError:
            return False
        return True

    def event(self, file: str, name: str) -> int:
        """How often something happened, by a file such as memory.events; 0 where nobody counts."""
        with suppress(OSError, ValueError):
            for line in (self.path / file).read_text().splitlines():
                key, _, value = line.partition(" ")
                if key == name:
                    return int(value)
        return 0

    @property
    def cpu_seconds(self) -> float | None:
        """The processor time of all that ever ran in it; None where the kernel does not count it."""
        used = self.event("cpu.stat", "usage_usec")
        return used / _MICROSECONDS if used else None


def make_group(setting: str, server: str) -> Group | None:
    """Make a new group for a run below the one that was handed to us; None where there is none.

    `setting` is "auto", "off" or the path of the group to make it in. Raises EnvironmentSetupFailed when
    that one cannot be used.
    """
    parent = find_parent(setting)
    if parent is None:
        return None

    path = parent / f"hostler-{server}-{secrets.token_hex(6)}"  # never the same again

    try:
        enable(parent, CONTROLLERS)
        path.mkdir(mode=0o755)
    except OSError as error:
        if setting == "auto":
            return None
        raise _unusable(parent, error.strerror or str(error)) from error

    return Group(path)


def find_parent(setting: str) -> Path | None:
    """Find the group that was handed to us; errors as in `make_group`."""
    if setting == "off":
        return None
    if setting == "auto":
        own = own_group(_read("/proc/self/cgroup"), _read("/proc/self/mountinfo"))
        near = () if own is None else (own, own.parent)  # systemd may put us in a leaf of it
        return next((group for group in near if _is_delegated(group) and _is_usable(group)), None)

    parent = Path(setting)
    if not (parent / "cgroup.controllers").is_file():
        raise _unusable(parent, "it is no control group (version 2)")
    if not _is_usable(parent):
        raise _unusable(parent, "it may not be written by this user")

    return parent


def own_group(membership: str, mounts: str) -> Path | None:
    """The folder of our own group, by /proc/self/cgroup and /proc/self/mountinfo; None without one."""
    paths = [line[3:] for line in membership.splitlines() if line.startswith("0::")]
    places = [line.split(" ")[3:5] for line in mounts.splitlines() if " - cgroup2 " in line]
    for path in paths:
        for root, place in places:
            if root == "/" or f"{path}/".startswith(f"{root}/"):
                below = path.removeprefix(root) if root != "/" else path
                return Path(place) / below.lstrip("/")
    return None


def enable(parent: Path, wanted: frozenset[str]) -> None:
    """Have the groups below `parent` use these controllers, as far as they are to be had.

    A group that hands controllers on may hold no process: where we are in it, all that is in it goes to a
    leaf of its own first. Raises OSError.
    """
    missing = (wanted & _words(parent / "cgroup.controllers")) - _words(parent / "cgroup.subtree_control")
    order = " ".join(f"+{name}" for name in sorted(missing))

    if not missing:
        return

    try:
        _write(parent / "cgroup.subtree_control", order)
    except OSError as error:
        if error.errno != errno.EBUSY or str(os.getpid()) not in _words(parent / "cgroup.procs"):
            return  # somebody else is in it: then nothing is enforced, and what can be looked at is
        _make_room(parent)
        _write(parent / "cgroup.subtree_control", order)


def _make_room(parent: Path) -> None:
    leaf = parent / _OWN_LEAF
    leaf.mkdir(exist_ok=True)
    for pid in _words(parent / "cgroup.procs"):
        with suppress(ProcessLookupError):
            _write(leaf / "cgroup.procs", pid)


def _is_delegated(group: Path) -> bool:
    for name in _DELEGATED:
        with suppress(OSError, AttributeError):  # no such attribute; no attributes at all on macOS
            if os.getxattr(group, name) == b"1":
                return True
    return False


def _is_usable(group: Path) -> bool:
    effective = os.access in os.supports_effective_ids
    return all(os.access(path, os.W_OK, effective_ids=effective) for path in (group, group / "cgroup.procs"))


def _words(path: Path) -> frozenset[str]:
    return frozenset(path.read_text().split())


def _read(path: str) -> str:
    try:
        return Path(path).read_text(errors="replace")
    except OSError:
        return ""


def _write(path: Path, value: str) -> None:
    """Write to a file that is there: these are never made."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(descriptor, value.encode())
    finally:
        os.close(descriptor)


def _unusable(parent: Path, reason: str) -> EnvironmentSetupFailed:
    return EnvironmentSetupFailed(
        f"the control group {parent} cannot be used: {reason}",
        hint='name one that was handed to you (systemd: Delegate=yes), or set cgroup to "auto" or "off"',
        permanent=True,
    )
