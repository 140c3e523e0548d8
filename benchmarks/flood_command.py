"""A flood of 100-byte lines through the installed command and its log-rotation, beside a bare copying loop.

    python benchmarks/flood_command.py [--quick] [--peers DIR]

The child's own seconds from the first to the last byte count. Every line is numbered: the rotated files are
looked through for lines that are lost, torn or out of order (with keep = 5 only what is kept can be).
"""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from flood import Result, bare, check
from measuring import Row, cpu, spread, until
from peers import Start, installed_peers
from stage import Stage, hostler, next_stamp, stamps, table

LINES = 10_000  # in a megabyte
CHILD = """
import os, sys, time
count, path = int(sys.argv[1]), sys.argv[2]
def stamp(what):
    with open(path, "a") as file:
        file.write(f"{what} {time.monotonic_ns()} {os.getpid()}\\n")
data = memoryview(b"".join(b"%011d " % n + b"x" * 87 + b"\\n" for n in range(count)))
stamp("ready")
while not os.path.exists(path + ".go"):
    time.sleep(0.005)
stamp("begin")
sent = 0
while sent < len(data):
    sent += os.write(1, data[sent : sent + 65500])
stamp("end")
os.write(1, b"unfinished")
time.sleep(3600)
"""


GOALS = {5: 0.85, 20: 0.7}  # secrets: of the speed without

Runs = dict[tuple[str, int, int], list[Result]]  # who, keep, secrets


def measure(quick: bool, peers: Path | None = None) -> list[Row]:
    megabytes, rounds = (50, 2) if quick else (200, 5)
    runs: Runs = defaultdict(list)

    with Stage() as stage:
        script, logs = stage.path("flood.py"), stage.path("logs")
        script.write_text(CHILD)
        logs.mkdir()
        for _ in range(rounds):
            runs["bare loop", 0, 0].append(bare(megabytes * LINES, stage.folder))
            for keep, secrets in ((5, 0), (40, 0), (40, 5), (40, 20)):
                start = partial(_hostler, logs=logs, secrets=secrets)
                result = _flood(stage, start, script, megabytes, keep)
                check(result, logs, megabytes * LINES)
                runs["hostler", keep, secrets].append(result)
            for name, start_peer in installed_peers(peers).items():
                for keep in (5, 40):
                    runs[name, keep, 0].append(_flood(stage, start_peer, script, megabytes, keep))

    return _rows(runs, megabytes)


def _hostler(
    stage: Stage, commands: Sequence[Sequence[str]], *, keep: int = 0, logs: Path, secrets: int
) -> subprocess.Popen[str]:
    keys = [random.Random(number).randbytes(20).hex() for number in range(secrets)]
    env = ", ".join(f'N{number}_API_KEY = "{key}"' for number, key in enumerate(keys))
    rotation = f"log-rotation = {{ path = {json.dumps(str(logs / 'hostler.log'))}, keep = {keep} }}"
    lines = ("port = false", 'stderr = "ignore"', f"env = {{ {env} }}")
    file = stage.write(table("flood", commands[0], *lines, plugins=[rotation]))
    return stage.start(hostler("run", "--quiet", str(file)))


def _flood(stage: Stage, start: Start, script: Path, megabytes: int, keep: int) -> Result:
    path = stage.path("stamps")
    argv = [sys.executable, "-I", "-S", str(script), str(megabytes * LINES), str(path)]
    process = start(stage, [argv], keep=keep)
    until(lambda: bool(stamps(path, "ready")), pause=0.01)
    time.sleep(0.2)
    before = cpu(process.pid)
    Path(f"{path}.go").touch()
    until(lambda: bool(stamps(path, "end")), 120, 0.01)
    time.sleep(0.2)
    used = cpu(process.pid) - before
    stage.end(process, 30)
    return Result((next_stamp(path, "end")[0] - next_stamp(path, "begin")[0]) / 1e9, used)


def _rows(runs: Runs, megabytes: int) -> list[Row]:
    rows = []
    for keep in (5, 40):
        question, ours = f"flood by the command, keep = {keep}", runs["hostler", keep, 0]
        rows.append(_row(question, ours, "bare loop", runs["bare loop", 0, 0], megabytes))
        for name in [who for who, kept, _ in runs if kept == keep and who != "hostler"]:
            goal = 1.0 if name == "supervisord" else None
            rows.append(_row(question, ours, name, runs[name, keep, 0], megabytes, goal))

    plain = runs["hostler", 40, 0]
    for secrets, goal in GOALS.items():
        question, ours = f"flood by the command, {secrets} secrets to mask", runs["hostler", 40, secrets]
        rows.append(_row(question, ours, "no secrets", plain, megabytes, goal))

    lost = sum(result.lost for result in plain)
    bad = [
        (one.torn, one.unordered)
        for (who, *_), results in runs.items()
        for one in results
        if who == "hostler"
    ]
    torn, unordered = (sum(numbers) for numbers in zip(*bad, strict=True))
    found = f"{lost} lost, {torn} torn, {unordered} out of order"
    return [
        *rows,
        Row("flood by the command, lines", found, goal="none", met=not (lost or torn or unordered)),
    ]


def _row(
    question: str,
    ours: Sequence[Result],
    name: str,
    theirs: Sequence[Result],
    megabytes: int,
    least: float | None = None,
) -> Row:
    ratio = statistics.median(one.seconds for one in theirs) / statistics.median(one.seconds for one in ours)
    goal, met = ("", None) if least is None else (f"at least {least:g} x", ratio >= least)
    beside = f"{name}: {_speeds(theirs, megabytes)}"
    return Row(question, _speeds(ours, megabytes), beside, f"{ratio:.2f}", goal, met)


def _speeds(results: Sequence[Result], megabytes: int) -> str:
    speeds = [megabytes / result.seconds for result in results]
    used = statistics.median(result.cpu for result in results) / megabytes * 1000
    return f"{spread(speeds, 'MB/s')}, {used:.2f} s of CPU a GB"


if __name__ == "__main__":
    from run import alone

    alone(measure)
