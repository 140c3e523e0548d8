"""From SIGKILL of the child to the first instruction of its successor, without a delay.

    python benchmarks/respawn.py [--quick] [--peers DIR]

Without plugins beside `bare_loop.py`; with log-rotation and --json beside peers that keep a log.
"""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from measuring import Row, compared
from peers import installed_peers, pm2
from stage import AT_ONCE, HERE, Stage, hostler, kill_and_see, next_stamp, table

AGE = 0.25  # seconds that a child lives at least
BARE = "SIGKILL of the child to its successor, no plugin"
LOGGED = "SIGKILL of the child to its successor, log-rotation and --json"


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
    rounds = 8 if quick else 60

    with Stage() as stage:
        keepers = [_bare(stage), _hostler(stage), _logging_hostler(stage), *_peers(stage, peers)]
        for keeper in keepers:
            keeper.pid = next_stamp(keeper.stamps, "exec")[1]
        for _ in range(rounds):
            time.sleep(AGE)
            for keeper in keepers:
                keeper.kill()

    bare, plain, logging, *others = keepers
    limits = {"pm2": 1.0}
    return [
        compared(BARE, plain.took, bare.name, bare.took, 1.8),
        *(
            compared(
                LOGGED,
                logging.took,
                one.name,
                one.took,
                limits.get(one.name),
                title="SIGKILL to the restarted server",
            )
            for one in [bare, *others]
        ),
    ]


def _bare(stage: Stage) -> Keeper:
    path = stage.path("bare")
    stage.start([sys.executable, "-I", "-S", str(HERE / "bare_loop.py"), *stage.child, str(path)])
    return Keeper("bare loop", path)


def _hostler(stage: Stage) -> Keeper:
    path = stage.path("hostler")
    file = stage.write(table("kid", [*stage.child, str(path)], "port = false", AT_ONCE))
    stage.start(hostler("run", "--quiet", str(file)))
    return Keeper("hostler", path)


def _logging_hostler(stage: Stage) -> Keeper:
    path, plugins = stage.path("hostler"), ['log-rotation = { path = "kid.log" }']
    file = stage.write(table("kid", [*stage.child, str(path)], "port = false", AT_ONCE, plugins=plugins))
    stage.start(hostler("run", "--json", str(file)))
    return Keeper("hostler", path)


def _peers(stage: Stage, peers: Path | None) -> list[Keeper]:
    keepers = []
    for name, start in (installed_peers(peers) | pm2(peers)).items():
        path = stage.path(name)
        start(stage, [[*stage.child, str(path)]], keep=5)
        keepers.append(Keeper(name, path))
    return keepers


if __name__ == "__main__":
    from run import alone

    alone(measure)
