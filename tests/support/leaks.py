"""What a supervisor that has ended must not leave: threads, descriptors, locks, run records."""

from __future__ import annotations

import gc
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from hostler import Directories


def open_descriptors() -> set[tuple[int, str]]:
    """The open descriptors of this process, and what they lead to."""
    found = set()
    for entry in Path("/proc/self/fd").iterdir():
        try:
            found.add((int(entry.name), str(entry.readlink())))
        except FileNotFoundError:  # the one that we looked with
            continue
    return found


@contextmanager
def assert_no_leaks(directories: Directories) -> Iterator[None]:
    """Afterwards there are no more of them than before."""
    before, threads = open_descriptors(), threading.active_count()
    yield
    gc.collect()
    runs = directories.state / "runs"
    assert [path for path in runs.rglob("*") if path.is_file()] == []
    assert _soon(lambda: threading.active_count() <= threads), threading.enumerate()
    assert _soon(lambda: len(open_descriptors()) <= len(before)), open_descriptors() - before


def _soon(condition: Callable[[], bool], seconds: float = 5.0) -> bool:
    until = time.monotonic() + seconds
    while not condition() and time.monotonic() < until:
        time.sleep(0.01)
    return condition()
