"""How long the command takes: to its version, to a checked configuration, to the child's first instruction.

python benchmarks/startup.py [--quick] [--peers DIR]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from measuring import Row, spread
from peers import installed_peers
from stage import Stage, hostler, next_stamp, table

SPAWN = "import subprocess, sys, time; subprocess.Popen(sys.argv[1:]); time.sleep(60)"


def measure(quick: bool, peers: Path | None = None) -> list[Row]:
    rounds = 5 if quick else 15
    took: dict[str, list[float]] = {}

    with Stage() as stage:
        file = stage.write(table("web", stage.server(stage.path("stamps")), plugins=["regex-port = true"]))
        ended = {
            "python": [sys.executable, "-c", "pass"],
            "--version": hostler("--version"),
            "check": hostler("check", str(file)),
        }
        if peers is not None and (peers / "bin" / "supervisord").exists():
            ended["supervisord"] = [str(peers / "bin" / "supervisord"), "--version"]
        for round_ in range(rounds + 1):
            if round_ == 1:
                took.clear()  # in the first one modules were compiled
            for name, argv in ended.items():
                took.setdefault(name, []).append(_to_its_end(argv, stage.env))
            took.setdefault("spawn", []).append(_bare(stage))
            took.setdefault("run", []).append(_hostler(stage))
            took.setdefault("run all", []).append(
                _hostler(stage, "sse-health = true", "env-sanitizer = true")
            )
            for name, start in installed_peers(peers).items():
                path, now = stage.path(name), time.monotonic_ns()
                process = start(stage, [[*stage.child, str(path)]])
                took.setdefault(f"{name} run", []).append((next_stamp(path, "exec")[0] - now) / 1e6)
                stage.end(process)

    return _rows(took)


def _rows(took: dict[str, list[float]]) -> list[Row]:
    rows = [
        _row("hostler --version", took["--version"], "python -c pass", took["python"], 60),
        _row("hostler check", took["check"], "python -c pass", took["python"], 100),
        _row(
            "hostler run to the child's first instruction",
            took["run"],
            "python that spawns",
            took["spawn"],
            120,
        ),
        _row(
            "the same, sse-health and env-sanitizer too",
            took["run all"],
            "python that spawns",
            took["spawn"],
            120,
        ),
    ]

    if "supervisord" in took:
        rows.append(
            _row("hostler --version", took["--version"], "supervisord --version", took["supervisord"])
        )

    peers = [name.removesuffix(" run") for name in took if name.endswith(" run")]
    return rows + [_row("hostler run to the child", took["run"], name, took[f"{name} run"]) for name in peers]


def _row(
    question: str, ours: Sequence[float], name: str, theirs: Sequence[float], limit: float | None = None
) -> Row:
    median = statistics.median(ours)
    goal, met = ("", None) if limit is None else (f"under {limit:g} ms", median < limit)
    return Row(
        question,
        spread(ours),
        f"{name}: {spread(theirs)}",
        f"{median / statistics.median(theirs):.2f}",
        goal,
        met,
    )


def _to_its_end(argv: Sequence[str], env: Mapping[str, str]) -> float:
    start = time.perf_counter()
    subprocess.run(list(argv), check=True, stdout=subprocess.DEVNULL, env=env)
    return (time.perf_counter() - start) * 1000


def _bare(stage: Stage) -> float:
    path, now = stage.path("stamps"), time.monotonic_ns()
    process = stage.start([sys.executable, "-c", SPAWN, *stage.child, str(path)])
    when, pid = next_stamp(path, "exec")
    stage.end(process)
    subprocess.run(["kill", str(pid)], check=False)
    return (when - now) / 1e6


def _hostler(stage: Stage, *plugins: str) -> float:
    path = stage.path("stamps")
    file = stage.write(table("web", [*stage.child, str(path)], plugins=["regex-port = true", *plugins]))
    now = time.monotonic_ns()
    process = stage.start(hostler("run", str(file)))
    when, _ = next_stamp(path, "exec")
    stage.end(process)
    return (when - now) / 1e6


if __name__ == "__main__":
    from run import alone

    alone(measure)
