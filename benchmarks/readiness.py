"""From the server's listening socket to the word that it is ready, beside a bare match of its line.

    python benchmarks/readiness.py [--quick]

With sse-health, ready means more: the listener is the server's own, and its first event has come.
The server listens 0.7 s after its start, so that everything that hostler imports meanwhile is there.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import time

from measuring import Row, compared, spread
from stage import Stage, hostler, next_stamp, table

DELAY = ("--delay", "0.7")
HEALTH = "sse-health = true"


def measure(quick: bool) -> list[Row]:
    rounds = 3 if quick else 9
    bare: list[float] = []
    found: list[float] = []
    healthy: list[float] = []

    with Stage() as stage:
        for _ in range(rounds):
            bare.append(_bare(stage))
            found.append(_hostler(stage, "regex-port = true"))
            healthy.append(_hostler(stage, "regex-port = true", HEALTH))

    median = statistics.median(healthy)
    return [
        compared("listening to ready, regex-port", found, "line match", bare, None),
        Row(
            "listening to ready, regex-port and sse-health",
            spread(healthy),
            f"line match: {spread(bare)}",
            f"{median / statistics.median(bare):.1f}",
            "under 10 ms",
            median < 10,
        ),
    ]


def _bare(stage: Stage) -> float:
    path = stage.path("stamps")
    argv = [word.replace("${server.port}", "0") for word in stage.server(path, *DELAY)]
    process = stage.start(argv, output=subprocess.PIPE)
    assert process.stdout is not None

    for line in process.stdout:
        if "listening on" in line:
            break

    now = time.monotonic_ns()
    stage.end(process)
    return (now - next_stamp(path, "listen")[0]) / 1e6


def _hostler(stage: Stage, *plugins: str) -> float:
    path = stage.path("stamps")
    file = stage.write(table("web", stage.server(path, *DELAY), plugins=plugins))
    process = stage.start(hostler("run", "--json", str(file)), output=subprocess.PIPE)
    assert process.stdout is not None

    for line in process.stdout:
        if json.loads(line).get("state") == "running":
            break

    now = time.monotonic_ns()
    stage.end(process)
    return (now - next_stamp(path, "listen")[0]) / 1e6


if __name__ == "__main__":
    from run import alone

    alone(measure)
