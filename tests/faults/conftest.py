"""Faults that are met by the whole command line have a user of their own, as the acceptance tests do."""

from __future__ import annotations

import gc
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cli_project import NOTHING, Project, eventually
from fault_setup import SECRET, Mounts
from output_capture import open_fds


@pytest.fixture
def mounts() -> Iterator[Mounts]:
    """Disks that are full or refuse; they are unmounted when all has been looked at."""
    mounts = Mounts()
    yield mounts
    mounts.unmount()


@pytest.fixture
def nothing_is_left(world: Project, mounts: Mounts) -> Iterator[None]:
    """Afterwards: no process, thread, descriptor, record or temporary file, and no secret in any file."""
    threads, descriptors = set(threading.enumerate()), open_fds()
    yield

    for command in world.started:
        command.process.kill()
        command.end()

    gc.collect()
    assert world.what_is_left() == NOTHING
    assert [path for path in world.home.rglob("*") if path.is_file() and _holds_the_secret(path)] == []
    eventually(lambda: set(threading.enumerate()) <= threads)
    eventually(lambda: open_fds() <= descriptors)


def _holds_the_secret(path: Path) -> bool:
    return SECRET.encode() in path.read_bytes()
