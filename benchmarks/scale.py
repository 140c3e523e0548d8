"""The installed command with 500 and 2,000 servers and log-rotation: start, stop, memory, old servers.

    python benchmarks/scale.py [--quick] [--peers DIR]

Before the stop nothing happens for a second: circus loses a SIGTERM that comes while it starts a child.
The oldest servers were there before the processes of all others: a look through what is younger than they are
grows with these. The ratio to the youngest ones is the figure.
"""

from __future__ import annotations

import os
import signal
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from measuring import Row, compared, memory, series_under, until
from peers import Start, supervisors
from stage import Stage, allow_many_descriptors, kill_and_see, stamps

KILLED = 10  # of the oldest, and of the youngest; three with a peer
GOALS = {
    500: {"first child": 0.3, "RSS": 50.0, "RSS after each crashed once": 52.0},
    2000: {"first child": 0.5, "all started": 5.0, "all stopped": 1.5, "RSS": 100.0},
}
AS_FAST_AS = {"all started": ("supervisord", "circus"), "all stopped": ("circus",)}  # with 500
UNITS = {
    "first child": "s",
    "all started": "s",
    "all stopped": "s",
    "RSS": "MiB",
    "RSS after each crashed once": "MiB",
}


def measure(quick: bool, peers: Path | None = None) -> list[Row]:
    allow_many_descriptors()
    rows: list[Row] = []

    sizes = ((100, 1, peers),) if quick else ((500, 3, peers), (2000, 1, None))  # which take peers minutes

    for count, rounds, beside in sizes:
        found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
        with Stage() as stage:
            for number in range(-1, rounds):
                for name, start in supervisors(beside).items():
                    if number < 0:  # modules are compiled
                        _round(stage, start, 20, 0, defaultdict(list))
                    else:
                        _round(stage, start, count, KILLED if name == "hostler" else 3, found[name])
        rows += _rows(count, found)

    return rows


def _round(stage: Stage, start: Start, count: int, kills: int, found: dict[str, list[float]]) -> None:
    path = stage.path("stamps")
    process = start(stage, [[*stage.child, str(path)]] * count, keep=5)
    _wait_for(path, count)
    started = sorted(stamps(path, "exec"))
    found["first child"].append((started[0][0] - stage.since) / 1e9)
    found["all started"].append((started[-1][0] - stage.since) / 1e9)
    time.sleep(2)
    found["RSS"].append(memory(process.pid)["rss"])

    for (_, old), (_, young) in zip(started[:kills], started[count - kills :], strict=True):
        found["oldest"].append(kill_and_see(path, old)[0])
        found["youngest"].append(kill_and_see(path, young)[0])

    _crash_once([pid for _, pid in started[kills : count - kills]])
    _wait_for(path, 2 * count)
    time.sleep(1)
    found["RSS after each crashed once"].append(memory(process.pid)["rss"])
    found["all stopped"].append(stage.stop(process))


def _wait_for(path: Path, count: int) -> None:
    until(lambda: path.exists() and path.read_bytes().count(b"\n") >= count, 120, 0.02)


def _crash_once(pids: Sequence[int]) -> None:
    for pid in pids:
        os.kill(pid, signal.SIGKILL)


def _rows(count: int, found: dict[str, dict[str, list[float]]]) -> list[Row]:
    ours = found.pop("hostler")
    rows = []

    for what, unit in UNITS.items():
        question = f"{count} servers by the command, {what}"
        rows.append(series_under(question, ours[what], unit, GOALS.get(count, {}).get(what)))
        for name, peer in found.items():
            limit = 1.0 if count == 500 and name in AS_FAST_AS.get(what, ()) else None
            title = f"{count:,} servers: {what}"
            rows.append(compared(question, ours[what], name, peer[what], limit, unit, title))

    question = f"SIGKILL to the successor, oldest of {count} servers"
    rows.append(compared(question, ours["oldest"], "youngest", ours["youngest"], 1.3))
    return rows + [
        compared(question, ours["oldest"], name, peer["oldest"], None) for name, peer in found.items()
    ]


if __name__ == "__main__":
    from run import alone

    alone(measure)
