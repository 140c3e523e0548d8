"""What each process of a server uses, compared with what the kernel tells by other ways."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
from hostler.process.system import Processes
from hostler.process.tree.process_table import read_table
from hostler.process.tree.usage import read_times, tree_usage

MIB = 2**20

# 40 MiB that are shared with the child, 20 MiB of the child alone, 300 ms of work; ended children worked too.
PROGRAM = """
import os, time
shared = b"x" * (40 * 2**20)

def work(seconds):
    until = time.process_time() + seconds
    while time.process_time() < until:
        pass

if not os.fork():
    work(0.2)
    os._exit(0)

os.wait()
ready, done = os.pipe()

if not os.fork():
    own = b"y" * (20 * 2**20)
    work(0.3)
    os.write(done, b"1")
    time.sleep(300)

os.read(ready, 1)
print("up", flush=True)
time.sleep(300)
"""

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


async def test_memory_time_and_threads_are_told_for_each_process(start: Callable[..., Any]) -> None:
    child = start(sys.executable, "-I", "-S", "-c", PROGRAM)
    assert await child.line() == "up"
    first, second = await Processes().usage(child.process)
    assert first.pid != child.pid == second.pid, "the largest first"
    assert 60 * MIB < first.rss < 90 * MIB
    assert 40 * MIB < second.rss < 70 * MIB
    assert abs(first.rss - psutil.Process(first.pid).memory_info().rss) < MIB
    assert 0.25 <= first.cpu < 2
    assert 0.15 <= second.waited_cpu < 2
    assert first.threads == second.threads == 1
    assert first.name == psutil.Process(first.pid).name()

    once = await Processes().usage(child.process, shared_once=True)
    assert [one.pid for one in once] == [first.pid, second.pid]
    assert sum(one.rss for one in once) < first.rss + second.rss - 35 * MIB


async def test_whose_pages_may_not_be_seen_counts_in_full(start: Callable[..., Any]) -> None:
    if os.geteuid() != 0:
        pytest.skip("needs another user")

    child = start(sys.executable, "-I", "-S", "-c", PROGRAM)
    await child.line()
    table = read_table()
    os.seteuid(65534)

    try:
        used = tree_usage(child.process, table, shared_once=True)
    finally:
        os.seteuid(0)

    assert sum(one.rss for one in used) > 100 * MIB


def test_who_is_gone_uses_nothing(tmp_path: Path) -> None:
    assert read_times(2**22 + 1) == (0.0, 0.0, 0)
