"""A flood of 100-byte lines through the installed command and its log-rotation, beside a program that copies.

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
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from measuring import Row, compared, cpu, spread, until
from peers import Start, installed_peers
from stage import Stage, hostler, next_stamp, stamps, table

LINES = 10_000  # in a megabyte
LINE = 100  # bytes


def _keys(count: int) -> list[str]:
    return [random.Random(number).randbytes(20).hex() for number in range(count)]


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


COPY = """
import os, signal, subprocess, sys
read, write = os.pipe()
child = subprocess.Popen(sys.argv[2:], stdin=subprocess.DEVNULL, stdout=write)
os.close(write)
signal.signal(signal.SIGTERM, lambda *_: (child.kill(), sys.exit()))
file = os.open(sys.argv[1], os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
while data := os.read(read, 65536):
    os.write(file, data)
"""
SECRETS: dict[str, tuple[list[str], float | None]] = {
    "5 secrets": (_keys(5), 0.85),
    "20 secrets": (_keys(20), 0.7),
    "50 secrets": (_keys(50), None),
    "5 secrets that JSON, URLs and shells escape": ([f"<'{key}\\&{key}\">" for key in _keys(5)], None),
}
"""The values, and what the speed has to be of that without any."""


@dataclass
class Result:
    """One flood."""

    seconds: float
    cpu: float
    lost: int = 0
    torn: int = 0
    unordered: int = 0
    told: tuple[float, str, str] = (0.0, "", "")


Runs = dict[tuple[str, int, str], list[Result]]  # who, keep, secrets


def measure(quick: bool, peers: Path | None = None) -> list[Row]:
    megabytes, rounds = (50, 2) if quick else (200, 8)
    runs: Runs = defaultdict(list)

    for _ in range(rounds):
        # A stage for each round: what peers have written would take the memory that is there, and to get
        # more of it for the files of the next ones takes a virtual machine up to three times as long.
        with Stage() as stage:
            script, logs = stage.path("flood.py"), stage.path("logs")
            script.write_text(CHILD)
            logs.mkdir()
            for key, start in _starts(logs, peers):
                result = flood(stage, start, script, megabytes, key[1])
                if key[0] == "hostler":
                    _check(result, logs, megabytes * LINES)
                runs[key].append(result)

    return _rows(runs, megabytes)


def _starts(logs: Path, peers: Path | None) -> list[tuple[tuple[str, int, str], Start]]:
    """All that take part, as in `Runs`, and how each is started."""
    plain = partial(_hostler, logs=logs, secrets=[])
    starts: list[tuple[tuple[str, int, str], Start]] = [
        (("bare loop", 0, ""), _copy),
        (("hostler", 5, ""), plain),
        (("hostler", 40, ""), plain),
    ]
    for kind, (secrets, *_) in SECRETS.items():
        starts.append((("hostler", 40, kind), partial(_hostler, logs=logs, secrets=secrets)))
    for name, start in installed_peers(peers).items():
        starts += [((name, keep, ""), start) for keep in (5, 40)]
    return starts


def _copy(stage: Stage, commands: Sequence[Sequence[str]], *, keep: int = 0) -> subprocess.Popen[str]:
    """64 KiB at a time from the pipe to one file, and nothing else."""
    del keep
    return stage.start([sys.executable, "-I", "-S", "-c", COPY, str(stage.folder / "copy.log"), *commands[0]])


def _hostler(
    stage: Stage, commands: Sequence[Sequence[str]], *, keep: int = 0, logs: Path, secrets: Sequence[str]
) -> subprocess.Popen[str]:
    env = ", ".join(f"N{number}_API_KEY = {json.dumps(key)}" for number, key in enumerate(secrets))
    rotation = f"log-rotation = {{ path = {json.dumps(str(logs / 'hostler.log'))}, keep = {keep} }}"
    lines = ("port = false", 'stderr = "ignore"', f"env = {{ {env} }}")
    file = stage.write(table("flood", commands[0], *lines, plugins=[rotation]))
    return stage.start(hostler("run", "--quiet", str(file)))


def flood(
    stage: Stage,
    start: Start,
    script: Path,
    megabytes: int,
    keep: int,
    before_end: Callable[[], tuple[float, str, str]] | None = None,
) -> Result:
    """One flood; what `before_end` tells when the child has written all is in the result."""
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
    told = before_end() if before_end else (0.0, "", "")
    stage.end(process, 30)
    return Result((next_stamp(path, "end")[0] - next_stamp(path, "begin")[0]) / 1e9, used, told=told)


def _check(result: Result, folder: Path, lines: int) -> None:
    """Count what is not as it was written, and remove the files."""
    files = sorted(folder.glob("hostler.log*"), key=lambda path: -int(path.suffix[1:].replace("log", "0")))
    last, seen = -1, 0

    for number, path in enumerate(files):
        *whole, rest = path.read_bytes().split(b"\n")
        result.torn += rest != (b"unfinished" if number == len(files) - 1 else b"")
        for line in whole:
            good = len(line) == LINE - 1 and line[:11].isdigit()
            result.torn += not good
            result.unordered += good and int(line[:11]) <= last
            last = int(line[:11]) if good else last
            seen += good
        path.unlink()

    result.lost = lines - seen


def _rows(runs: Runs, megabytes: int) -> list[Row]:
    rows = []
    for keep in (5, 40):
        question, ours = f"flood by the command, keep = {keep}", runs["hostler", keep, ""]
        rows.append(_row(question, ours, "bare loop", runs["bare loop", 0, ""], megabytes))
        for name in [who for who, kept, _ in runs if kept == keep and who != "hostler"]:
            theirs, judged = runs[name, keep, ""], name == "supervisord"
            rows.append(
                _row(
                    question,
                    ours,
                    name,
                    theirs,
                    megabytes,
                    1.0 if judged else None,
                    f"100-byte lines into {keep} files in turn",
                )
            )
            rows.append(
                compared(
                    f"CPU of that, keep = {keep}",
                    [one.cpu / megabytes * 1000 for one in ours],
                    name,
                    [one.cpu / megabytes * 1000 for one in theirs],
                    1.2 if judged else None,
                    "s a GB",
                )
            )

    plain = runs["hostler", 40, ""]
    for secrets, (_, goal) in SECRETS.items():
        question, ours = f"flood by the command, {secrets} to mask", runs["hostler", 40, secrets]
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
    title: str = "",
) -> Row:
    ratio = statistics.median(one.seconds for one in theirs) / statistics.median(one.seconds for one in ours)
    goal, met = ("", None) if least is None else (f"at least {least:g} x", ratio >= least)
    beside = f"{name}: {_speeds(theirs, megabytes)}"
    return Row(question, _speeds(ours, megabytes), beside, f"{ratio:.2f}", goal, met, title)


def _speeds(results: Sequence[Result], megabytes: int) -> str:
    return spread([megabytes / result.seconds for result in results], "MB/s")


if __name__ == "__main__":
    from run import alone

    alone(measure)
