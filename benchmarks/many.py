"""500 idle children: started, stopped, and what they cost.

    python benchmarks/many.py [--quick]

In a program of its own that uses hostler as a library, so that its imports are not in the times.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

from hostler import Directories, ServerSpec, Supervisor
from measuring import Row, descriptors, memory, threads, under
from stage import Stage, allow_many_descriptors


def measure(quick: bool) -> list[Row]:
    count = 100 if quick else 500
    found: list[dict[str, float]] = []

    with Stage() as stage:
        for number in range(3 if quick else 4):  # the first compiles modules
            folder = str(stage.folder / str(number))
            argv = [sys.executable, __file__, "--inside", str(count), folder]
            out = subprocess.run(argv, check=True, stdout=subprocess.PIPE, text=True, env=stage.env).stdout
            found.append(json.loads(out))

    middle = {name: statistics.median(one[name] for one in found[1:]) for name in found[0]}
    bare = f"bare Popen: {middle['bare']:.2f} s"
    sizes = f"RSS {middle['rss']:.1f}, PSS {middle['pss']:.1f}, USS {middle['uss']:.1f} MiB"
    return [
        under(
            f"{count} idle children, all started",
            middle["start"],
            "s",
            1,
            bare,
            f"{middle['start'] / middle['bare']:.1f}",
        ),
        under(f"{count} idle children, all stopped", middle["stop"], "s", 0.5),
        Row(
            f"memory with {count} idle children",
            sizes,
            f"before: RSS {middle['before']:.1f} MiB",
            "",
            "under 50 MiB",
            middle["rss"] < 50,
        ),
        Row(
            f"threads and descriptors with {count}",
            f"{middle['threads']:.0f} threads, {middle['fds']:.0f} descriptors",
        ),
    ]


def bare(count: int) -> float:
    start = time.perf_counter()
    argv = ["setpriv", "--pdeathsig", "KILL", "--no-new-privs", "--", "sleep", "10000"]
    started = [subprocess.Popen(argv, start_new_session=True, stdin=subprocess.DEVNULL) for _ in range(count)]
    took = time.perf_counter() - start

    for process in started:
        process.kill()

    for process in started:
        process.wait()

    return took


async def inside(count: int, folder: Path) -> dict[str, float]:
    """What the program of its own does: prints what it found as JSON."""
    allow_many_descriptors()
    specs = [
        ServerSpec(name=f"s{number}", command=("sleep", "10000"), cwd=folder, port=None)
        for number in range(count)
    ]
    found = {"bare": bare(count), "before": memory(os.getpid())["rss"]}
    folders = Directories(folder / "state", folder / "data", folder / "cache")
    start = time.perf_counter()

    async with Supervisor(specs, directories=folders) as supervisor:
        await supervisor.wait_ready(timeout=60)
        found["start"] = time.perf_counter() - start
        await asyncio.sleep(1)
        found |= memory(os.getpid())
        found["threads"], found["fds"] = len(threads(os.getpid())), descriptors(os.getpid())
        start = time.perf_counter()
        await supervisor.stop()
        found["stop"] = time.perf_counter() - start

    return found


if __name__ == "__main__":
    if sys.argv[1:2] == ["--inside"]:
        Path(sys.argv[3]).mkdir()
        print(json.dumps(asyncio.run(inside(int(sys.argv[2]), Path(sys.argv[3])))))
    else:
        from run import alone

        alone(measure)
