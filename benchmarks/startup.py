"""How long the command takes: to its version, to a checked configuration, to the child's first instruction.

python benchmarks/startup.py [--quick] [--peers DIR]
"""

from __future__ import annotations

import statistics
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from measuring import Row, compared, spread
from peers import installed_peers, pm2
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
            "explain": hostler("explain", str(file)),
        }
        if peers is not None and (peers / "bin" / "supervisord").exists():
            ended["supervisord"] = [str(peers / "bin" / "supervisord"), "--version"]
        for round_ in range(rounds + 1):
            if round_ == 1:
                took.clear()  # in the first one modules were compiled
            for name, argv in ended.items():
                took.setdefault(name, []).append(stage.run(argv))
            took.setdefault("spawn", []).append(_bare(stage))
            took.setdefault("run", []).append(_hostler(stage))
            took.setdefault("run all", []).append(
                _hostler(stage, "sse-health = true", "env-sanitizer = true")
            )
            for name, start in (installed_peers(peers) | pm2(peers)).items():
                path = stage.path(name)
                process = start(stage, [[*stage.child, str(path)]])
                took.setdefault(f"{name} run", []).append((next_stamp(path, "exec")[0] - stage.since) / 1e6)
                stage.end(process)

    return _rows(took)


def _rows(took: dict[str, list[float]]) -> list[Row]:
    rows = [
        _row("hostler --version", took["--version"], "python -c pass", took["python"], 60),
        _row("hostler check", took["check"], "python -c pass", took["python"], 80),
        _row("hostler explain", took["explain"], "python -c pass", took["python"], 80),
        _row(
            "hostler run to the child's first instruction",
            took["run"],
            "python that spawns",
            took["spawn"],
        ),
        _row(
            "the same, sse-health and env-sanitizer too",
            took["run all"],
            "python that spawns",
            took["spawn"],
        ),
    ]

    if "supervisord" in took:
        rows.append(
            _row("hostler --version", took["--version"], "supervisord --version", took["supervisord"])
        )

    peers = [name.removesuffix(" run") for name in took if name.endswith(" run")]
    limits = {"circus": 1.0}
    question, title = "hostler run to the child", "Start of the supervisor to its server"
    return rows + [
        compared(question, took["run"], name, took[f"{name} run"], limits.get(name), title=title)
        for name in peers
    ]


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


def _bare(stage: Stage) -> float:
    path = stage.path("stamps")
    process = stage.start([sys.executable, "-c", SPAWN, *stage.child, str(path)])
    when, pid = next_stamp(path, "exec")
    took = (when - stage.since) / 1e6
    stage.end(process)
    subprocess.run(["kill", str(pid)], check=False)
    return took


def _hostler(stage: Stage, *plugins: str) -> float:
    path = stage.path("stamps")
    file = stage.write(table("web", [*stage.child, str(path)], plugins=["regex-port = true", *plugins]))
    process = stage.start(hostler("run", str(file)))
    when, _ = next_stamp(path, "exec")
    stage.end(process)
    return (when - stage.since) / 1e6


if __name__ == "__main__":
    from run import alone

    alone(measure)
