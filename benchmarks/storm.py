"""How soon one more crash is answered while 50 servers crash 100 times a second, beside 200 MB/s of output.

    python benchmarks/storm.py [--quick] [--peers DIR]

The installed command with log-rotation. The 50 live 0.3 to 0.7 s; those of a peer may wait longer for their
restart, so that each cell has its own count of crashes. The bare loop keeps up one child beside all that.
A peer's child is killed a quarter as often.
"""

from __future__ import annotations

import operator
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from measuring import Row
from peers import Start, supervisors
from stage import HERE, Stage, kill_and_see, next_stamp, stamps

SERVERS = 50
GOAL = (7.0, 12.0, 30.0)  # median, 90 of 100, the worst, in ms, while everything happens
WRITER = """
import os, time
data, due = (b"x" * 99 + b"\\n") * 20_000, time.monotonic()
while True:
    due += 0.01
    rest = memoryview(data)
    while rest:
        rest = rest[os.write(1, rest[:65536]) :]
    time.sleep(max(0.0, due - time.monotonic()))
"""


def measure(quick: bool, peers: Path | None = None) -> list[Row]:
    rows, kills = [], 8 if quick else 40
    with Stage() as stage:
        writer = stage.path("writer.py")
        writer.write_text(WRITER)
        output = [sys.executable, "-I", "-S", str(writer)]
        for question, crashing, others in (
            ("a crash answered, nothing else to do", 0, []),
            (f"a crash answered while {SERVERS} servers crash", SERVERS, []),
            (f"a crash answered while {SERVERS} crash, beside 200 MB/s", SERVERS, [output]),
        ):
            found = {
                name: _answers(stage, start, crashing, others, kills if name == "hostler" else kills // 4)
                for name, start in supervisors(peers).items()
            }
            rows += _rows(question, found)

    return rows


@dataclass
class Answers:
    """Milliseconds to the successor, those of the bare loop, and how many others crashed a second."""

    took: list[float] = field(default_factory=list)
    bare: list[float] = field(default_factory=list)
    crashes: float = 0.0

    def __str__(self) -> str:
        return f"{_text(self.took)}, {self.crashes:.0f} crashes/s"


def _answers(
    stage: Stage, start: Start, crashing: int, others: Sequence[Sequence[str]], kills: int
) -> Answers:
    path, crashed, bare = stage.path("stamps"), stage.path("crashed"), stage.path("bare")
    lives = [str(300 + 400 * number // SERVERS) for number in range(crashing)]
    commands = [[*stage.child, str(path)], *([*stage.child, str(crashed), life] for life in lives), *others]
    loop = stage.start([sys.executable, "-I", "-S", str(HERE / "bare_loop.py"), *stage.child, str(bare)])
    process = start(stage, commands, keep=5)
    pid, bare_pid, found = next_stamp(path, "exec")[1], next_stamp(bare, "exec")[1], Answers()
    time.sleep(2)
    began, count = time.monotonic(), len(stamps(crashed, "exec"))

    for _ in range(kills):
        time.sleep(0.15)
        took, pid = kill_and_see(path, pid)
        bare_took, bare_pid = kill_and_see(bare, bare_pid)
        found.took.append(took)
        found.bare.append(bare_took)

    found.crashes = (len(stamps(crashed, "exec")) - count) / (time.monotonic() - began)
    stage.end(process, 30)
    stage.end(loop)
    return found


def _rows(question: str, found: dict[str, Answers]) -> list[Row]:
    ours = found.pop("hostler")
    beside = {"bare loop, one child": (_text(ours.bare), ours.bare)}
    beside |= {name: (str(peer), peer.took) for name, peer in found.items()}
    median, met = _figures(ours.took)[0], all(map(operator.lt, _figures(ours.took), GOAL))
    goal = ("under {:g} ms, p90 {:g}, max {:g}".format(*GOAL), met) if "beside" in question else ("", None)
    return [
        Row(question, str(ours), f"{name}: {text}", f"{median / statistics.median(theirs):.2f}", *goal)
        for name, (text, theirs) in beside.items()
    ]


def _figures(values: Sequence[float]) -> tuple[float, float, float]:
    late = statistics.quantiles(values, n=10, method="inclusive")[-1]
    return statistics.median(values), late, max(values)


def _text(values: Sequence[float]) -> str:
    return "{:.1f} ms, p90 {:.1f}, max {:.1f}".format(*_figures(values))


if __name__ == "__main__":
    from run import alone

    alone(measure)
