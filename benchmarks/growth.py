"""What grows: 10,000 restarts of one server by the command, and a simulated day of 100 servers.

    python benchmarks/growth.py [--quick]

Memory, descriptors, threads and files on disk are noted twelve times. Growth in the first quarter does not
count: buffers reach their sizes, and the crash records that are kept fill up.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import anyio
from hostler import Directories, ServerSpec
from hostler.testing import FakeChild, SimulatedHost, run_virtually
from measuring import Row, descriptors, memory, threads, until
from peers import supervisors
from soak_findings import GROWTH, early_and_late, flat
from stage import Stage

SAMPLES = 12
DAY = 24 * 3600.0


@dataclass(frozen=True, slots=True)
class Sample:
    """One look at a hostler."""

    rss: float
    fds: int
    threads: int
    files: int

    @classmethod
    def of(cls, pid: int, folders: Sequence[Path]) -> Sample:
        files = sum(len(names) for folder in folders for _, _, names in os.walk(folder))
        return cls(memory(pid)["rss"], descriptors(pid), len(threads(pid)), files)


def measure(quick: bool) -> list[Row]:
    restarts, servers = (3_000, 5) if quick else (10_000, 100)
    with Stage() as stage:
        return [
            *_rows(f"{restarts} restarts of one server", _restarts(stage, restarts)),
            *_rows(
                f"a day of {servers} servers in virtual time",
                run_virtually(lambda: _day(stage.folder, servers)),
            ),
        ]


def _restarts(stage: Stage, restarts: int) -> list[Sample]:
    """The child exits at once, and is started again at once."""
    path, folders = stage.path("stamps"), [stage.folder / name for name in ("state", "data", "cache")]
    process = supervisors(None)["hostler"](stage, [[*stage.child, str(path), "0"]], keep=5)
    samples = []

    for number in range(1, SAMPLES + 1):
        wanted = restarts * number // SAMPLES
        until(lambda wanted=wanted: path.exists() and path.read_bytes().count(b"\n") > wanted, 120, 0.02)
        samples.append(replace(Sample.of(process.pid, folders), fds=_fewest_descriptors(process.pid)))

    stage.end(process)
    return samples


def _fewest_descriptors(pid: int) -> int:
    """Between two restarts: each holds some for a moment."""
    looks = []
    for _ in range(20):
        looks.append(descriptors(pid))
        time.sleep(0.01)
    return min(looks)


async def _day(folder: Path, count: int) -> list[Sample]:
    """Simulated children that crash every 5 to 15 minutes, whose memory is sampled every minute."""
    world = SimulatedHost()
    world.on_each_child(_live_some_minutes)
    specs = [ServerSpec(name=f"s{number}", command=("simulated",), cwd=folder) for number in range(count)]
    home = folder / "day"
    directories = Directories(home / "state", home / "data", home / "cache")
    samples = []

    async with world.supervisor(specs, directories=directories):
        for _ in range(SAMPLES):
            await anyio.sleep(DAY / SAMPLES)
            # The world keeps everything that ever was; hostler must not.
            world.children[:] = [child for child in world.children if child.alive()]
            del world.output.captures[:-1]
            gc.collect()
            samples.append(Sample.of(os.getpid(), [home]))

    return samples


def _live_some_minutes(child: FakeChild) -> None:
    child.announce()
    child.listen()
    asyncio.get_running_loop().call_later(300 + child.pid % 600, child.exit, 1)


def _rows(name: str, samples: Sequence[Sample]) -> list[Row]:
    early, late = early_and_late([sample.rss for sample in samples])
    return [
        Row(
            f"{name}: memory, second and last quarter",
            f"{early:.1f} and {late:.1f} MiB",
            goal=f"growth under {GROWTH:g} MiB",
            met=late - early < GROWTH,
        ),
        flat(f"{name}: descriptors", [sample.fds for sample in samples]),
        # A worker comes to the pool where two looks at the disk happen to meet.
        flat(f"{name}: threads", [sample.threads for sample in samples], spare=1),
        flat(f"{name}: files on disk", [sample.files for sample in samples]),
    ]


if __name__ == "__main__":
    from run import alone

    sys.exit(alone(measure))
