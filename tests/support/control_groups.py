"""Control groups (version 2) for tests: real ones, where this machine lets us make some."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from secrets import token_hex

import pytest
from hostler.process.spawn.cgroups import kill_group, pids_in, remove_group

# It escapes from a process tree: its grandchild, which says its pid, has another session, no living parent,
# no environment and no mark among its limits.
_HIDES = """prlimit --rttime=unlimited: env -i sh -c "echo \\$\\$; exec sleep 301.5" &"""
ESCAPES = f"setsid sh -c '{_HIDES}'; exec sleep 300"


def root() -> Path | None:
    """Where the version 2 is mounted, and may be written by us."""
    mounts = Path("/proc/self/mountinfo")
    lines = mounts.read_text().splitlines() if mounts.exists() else []
    places = [Path(line.split(" ")[4]) for line in lines if " - cgroup2 " in line]
    return next((place for place in places if os.access(place / "cgroup.procs", os.W_OK)), None)


def new_group() -> Iterator[Path]:
    """A group of the test's own; what is in it and below it is gone at the end."""
    place = root()
    if place is None:
        pytest.skip("no control groups (version 2) that may be written here")
    group = place / f"hostler-test-{token_hex(6)}"
    group.mkdir()
    yield group
    end(group)


def end(group: Path) -> None:
    """Kill and remove."""
    kill_group(group)
    until = time.monotonic() + 10
    while pids_in(group) and time.monotonic() < until:
        time.sleep(0.01)
    with suppress(FileNotFoundError):
        remove_group(group)
