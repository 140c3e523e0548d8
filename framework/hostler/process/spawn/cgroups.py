"""The control group (version 2) of one run: joined before the command starts, emptied and removed after it.

Whatever a member of a group starts is a member too, whatever it does: nothing escapes by forking. What a
group may use is not decided here. See Documentation/admin-guide/cgroup-v2.rst of the kernel.
"""

from __future__ import annotations

import os
import time
from collections.abc import Collection
from contextlib import suppress
from pathlib import Path

_SHELL, _ENV = "/bin/sh", "/usr/bin/env"
_JOIN = 'echo 0 >"$0/cgroup.procs" && exec "$@"'  # 0 is the writer itself
_SET_BY_SHELLS = ("_", "SHLVL", "PWD", "OLDPWD")  # bash exports these although nobody asked
_REMOVE_WITHIN, _PAUSE = 1.0, 0.01


def join(group: Path, names: Collection[str]) -> list[str]:
    """The argv in front of a command that has its process enter `group` before it becomes the command.

    `names` are the variables that it is to have: what a shell adds by itself is taken out again.
    """
    # Not by our own write after the spawn: until then the command, or a child of it, would be outside.
    added = [word for name in _SET_BY_SHELLS if name not in names for word in ("-u", name)]
    return [_SHELL, "-c", _JOIN, str(group), *([_ENV, *added] if added else [])]


def pids_in(group: Path | None) -> list[int]:
    """The processes in a group and in those below it; none where there is no group."""
    pids: list[int] = []
    for folder in _folders(group):
        with suppress(OSError):
            pids += [int(word) for word in (folder / "cgroup.procs").read_text().split()]
    return pids


def kill_group(group: Path | None) -> None:
    """Send SIGKILL to all in a group at once, so that no fork slips through; not to ourselves."""
    if group is not None and os.getpid() not in pids_in(group):
        # Kernels before 5.14 have no such file: their members are killed one by one, as elsewhere.
        with suppress(OSError):
            file = os.open(group / "cgroup.kill", os.O_WRONLY | os.O_CLOEXEC)
            try:
                os.write(file, b"1")
            finally:
                os.close(file)


def remove_group(group: Path) -> None:
    """Remove a group and those below it, blocking for at most 1 s; OSError when somebody is still in it."""
    until = time.monotonic() + _REMOVE_WITHIN

    while True:
        try:
            for folder in _folders(group):
                folder.rmdir()
        except FileNotFoundError:
            return
        except OSError:
            # Who was reaped a moment ago may still be on its way out.
            if time.monotonic() > until:
                raise
            time.sleep(_PAUSE)
        else:
            return


def _folders(group: Path | None) -> list[Path]:
    """The group and all below it, deepest first; nothing that is no control group."""
    if group is None or not (group / "cgroup.procs").is_file():
        return []
    return [Path(folder) for folder, _, _ in os.walk(group, topdown=False)]
