"""From SIGKILL of the child to the first instruction of its successor, without a delay, beside a bare loop.

    python benchmarks/respawn.py [--quick] [--peers DIR]

The search for what the dead child may have left behind is part of it, and a row of its own.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from hostler import Directories, ServerSpec, Supervisor
from hostler.process.tree.members import find_tree
from hostler.process.tree.snapshot import ProcessTableSnapshot
from hostler.process.tree.terminate import stop_tree
from measuring import Row, compared, spread
from peers import installed_peers
from stage import AT_ONCE, HERE, Stage, hostler, kill_and_see, next_stamp, table

AGE = 0.25  # seconds that a child lives at least


@dataclass
class Keeper:
    """One program that keeps a child up."""

    name: str
    stamps: Path
    pid: int = 0
    took: list[float] = field(default_factory=list)

    def kill(self) -> None:
        took, self.pid = kill_and_see(self.stamps, self.pid)
        self.took.append(took)


def measure(quick: bool, peers: Path | None = None) -> list[Row]:
    rounds = 8 if quick else 40

    with Stage() as stage:
        keepers = [_bare(stage), _hostler(stage), *_peers(stage, peers)]
        for keeper in keepers:
            keeper.pid = next_stamp(keeper.stamps, "exec")[1]
        for _ in range(rounds):
            time.sleep(AGE)
            for keeper in keepers:
                keeper.kill()
        bare, ours, *others = keepers
        question = "SIGKILL of the child to its successor"
        rows = [compared(question, ours.took, bare.name, bare.took, 2.0)]
        rows += [compared(question, ours.took, one.name, one.took, None) for one in others]
        return [*rows, *asyncio.run(_scan(stage, 50 if quick else 300))]


def _bare(stage: Stage) -> Keeper:
    path = stage.path("bare")
    stage.start([sys.executable, "-I", "-S", str(HERE / "bare_loop.py"), *stage.child, str(path)])
    return Keeper("bare loop", path)


def _hostler(stage: Stage) -> Keeper:
    path = stage.path("hostler")
    file = stage.write(table("kid", [*stage.child, str(path)], "port = false", AT_ONCE))
    stage.start(hostler("run", "--quiet", str(file)))
    return Keeper("hostler", path)


def _peers(stage: Stage, peers: Path | None) -> list[Keeper]:
    keepers = []
    for name, start in installed_peers(peers).items():
        path = stage.path(name)
        start(stage, [[*stage.child, str(path)]])
        keepers.append(Keeper(name, path))
    return keepers


async def _scan(stage: Stage, times: int) -> list[Row]:
    """The look for members of a server that lives, and for those of one that is dead."""
    spec = ServerSpec(name="kid", command=("sleep", "1000"), cwd=stage.folder, port=None)
    folders = Directories(stage.folder / "s", stage.folder / "d", stage.folder / "c")
    async with Supervisor(spec, directories=folders) as supervisor:
        await supervisor["kid"].wait_ready(10)
        run = supervisor["kid"].run
        assert run is not None
        process = run.process
        assert process is not None
        snapshot = (
            ProcessTableSnapshot()
        )  # as hostler has one: who is older than the server is read at the first look only
        looks = [_timed(lambda: find_tree(process, table=snapshot.look_now(process))) for _ in range(times)]
        await supervisor.stop()
        stops = []
        for _ in range(times):
            start = time.perf_counter()
            await stop_tree(process, grace=5, snapshot=snapshot)
            stops.append((time.perf_counter() - start) * 1000)

    return [
        Row("one look for the members of a server", spread(looks)),
        Row("a dead server's tree found empty", spread(stops)),
    ]


def _timed(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return (time.perf_counter() - start) * 1000


if __name__ == "__main__":
    from run import alone

    alone(measure)
