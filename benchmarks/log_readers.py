"""Reading logs: `hostler logs` of large files, and a flood beside those who follow it.

    python benchmarks/log_readers.py [--quick]

The files are made by a hostler that keeps their index. The flood is that of `flood_command.py`: without a
control socket, with the index, and with a fast and a slow reader of its stream (`control_load.py`).
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from flood_command import CHILD, flood
from measuring import Row, compared, memory, series_under, spread, until
from stage import HERE, Stage, hostler, table

SERVERS = 5
EACH = 10  # MiB
LINES = 10_000  # in a megabyte
KEEP = 40
CASES = ("no control", "index", "readers")
INTACT = "all lines, 0 of them not the next, 0 gaps"


def measure(quick: bool) -> list[Row]:
    with Stage() as stage:
        return [*_queries(stage, 5 if quick else 15), *_floods(stage, *((50, 2) if quick else (200, 4)))]


# -- history ---------------------------------------------------------------------------------------


def _queries(stage: Stage, rounds: int) -> list[Row]:
    file = _written(stage)
    time.sleep(1)  # a time is given in whole seconds
    begin = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    process = stage.start(hostler("up", "--no-start", str(file)))
    process.wait()
    questions = {
        "-n 200": (["-n", "200"], 150),
        "--since a moment ago": (["--since", begin], 150),
        "--grep of what is not there": (["--grep", "no such text in here", "-n", "200"], None),
    }
    took: dict[str, list[float]] = defaultdict(list)
    for _ in range(rounds + 1):
        for question, (words, _) in questions.items():
            took[question].append(stage.run(hostler("logs", *words, str(file))))
    whole = stage.run(hostler("logs", "--since", "1h", str(file)))
    stage.run(hostler("down", str(file)))
    rows = [
        series_under(f"hostler logs {question}, {SERVERS} x {EACH} MiB", took[question][1:], "ms", limit)
        for question, (_, limit) in questions.items()
    ]
    size = SERVERS * EACH * 1.048576
    speeds = [size / (value / 1000) for value in took["--grep of what is not there"][1:]]
    found = spread(speeds, "MB/s")
    met = sorted(speeds)[len(speeds) // 2] >= 200
    return [
        *rows[:2],
        Row("hostler logs --since 1h, all lines of them", f"{whole / 1000:.1f} s"),
        Row("the same with --grep", found, goal="at least 200 MB/s", met=met),
    ]


def _written(stage: Stage) -> Path:
    """A configuration whose servers have each written 10 MiB, with an index, and have ended."""
    folder = stage.path("project")
    folder.mkdir()
    script = folder / "write.py"
    script.write_text(
        f"import sys\nfor n in range({EACH * 2**20 // 100}):\n    print(f'{{n:011d}} ' + 'x' * 87)\n"
    )
    servers = [
        table(
            f"s{number}",
            [sys.executable, "-I", "-S", str(script)],
            "port = false",
            'kind = "task"',
            plugins=[f'log-rotation = {{ path = "s{number}.log", max_size = "100 MiB", index = true }}'],
        )
        for number in range(SERVERS)
    ]
    file = folder / "hostler.toml"
    file.write_text("\n".join(servers))
    stage.run(hostler("run", "--quiet", str(file)))
    return file


# -- a flood and its readers -----------------------------------------------------------------------


def _floods(stage: Stage, megabytes: int, rounds: int) -> list[Row]:
    script = stage.path("flood.py")
    script.write_text(CHILD)
    speeds: dict[str, list[float]] = defaultdict(list)
    grown, fast, slow = [], "", ""
    for _ in range(rounds):
        for case in CASES:
            readers = _Readers(stage, megabytes * LINES)
            start, ended = partial(_hostler, case=case, readers=readers), None
            if case == "readers":
                ended = readers.result
            result = flood(stage, start, script, megabytes, KEEP, before_end=ended)
            speeds[case].append(megabytes / result.seconds)
            if ended is not None:
                size, fast, slow = result.told
                grown.append(size)

    question = f"flood of {megabytes} MB"
    return [
        _slower(f"{question}, with an index", speeds, "index", 0.95),
        _slower(f"{question}, with an index, a fast and a slow reader", speeds, "readers", 0.85),
        Row("the fast reader of the flood", fast, f"slow reader: {slow}", goal="all", met=fast == INTACT),
        Row("memory that came to it with the readers", spread(grown, "MiB")),
    ]


def _slower(question: str, speeds: dict[str, list[float]], case: str, least: float) -> Row:
    row = compared(question, speeds[case], "--no-control, no index", speeds["no control"], None, "MB/s")
    return Row(
        question, row.hostler, row.beside, row.ratio, f"at least {least:g} x", float(row.ratio) >= least
    )


class _Readers:
    """A fast and a slow reader of the log of a flood, both from its beginning on."""

    def __init__(self, stage: Stage, lines: int) -> None:
        self._stage = stage
        self._lines = lines
        self._clients: list[subprocess.Popen[str]] = []
        self._pid = 0
        self._before = 0.0

    def follow(self, process: subprocess.Popen[str]) -> None:
        folder = self._stage.folder / "hostler"
        until(lambda: any(folder.glob("*.sock")))
        (path,) = folder.glob("*.sock")
        for pause in ("0", "0.5"):
            argv = [sys.executable, "-I", "-S", str(HERE / "control_load.py"), "log", str(path), "flood"]
            self._clients.append(self._stage.start([*argv, str(self._lines), pause], output=subprocess.PIPE))
        time.sleep(1)  # the first of them has the HTTP server imported
        self._pid, self._before = process.pid, memory(process.pid)["rss"]

    def result(self) -> tuple[float, str, str]:
        """The MiB that came to hostler, and what both have read, when the fast one is through."""
        fast, slow = self._clients
        fast.wait(300)
        grown = memory(self._pid)["rss"] - self._before
        slow.terminate()
        return grown, self._told(fast), self._told(slow)

    def _told(self, client: subprocess.Popen[str]) -> str:
        assert client.stdout is not None
        seen, wrong, gaps = json.loads(client.stdout.read())
        client.wait()
        whole = "all" if seen == self._lines else f"the first {seen}"
        return f"{whole} lines, {wrong} of them not the next, {gaps} gaps"


def _hostler(
    stage: Stage, commands: Sequence[Sequence[str]], *, keep: int, case: str, readers: _Readers
) -> subprocess.Popen[str]:
    index = "" if case == "no control" else ", index = true"
    rotation = f'log-rotation = {{ path = "flood.log", keep = {keep}{index} }}'
    lines = ("port = false", 'stderr = "ignore"')
    file = stage.write(table("flood", commands[0], *lines, plugins=[rotation]))
    words = ["--no-control"] if case == "no control" else []
    process = stage.start(hostler("run", "--quiet", *words, str(file)))
    if case == "readers":
        readers.follow(process)
    return process


if __name__ == "__main__":
    from run import alone

    sys.exit(alone(measure))
